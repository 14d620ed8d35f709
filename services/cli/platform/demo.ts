import { readFile } from "node:fs/promises";
import { isServed } from "../../shared/api/org-states.ts";
import type { OrgView } from "../../shared/api/orgs.ts";
import { orgServerName } from "../../shared/org.ts";
import type { Secret } from "../../shared/secret.ts";
import { VaultError } from "../../shared/vault/client.ts";
import { loginWithJwt } from "../../shared/vault/platform-jwt.ts";
import { ControlPlane } from "../control-plane-client.ts";
import { followJob, jobDuration } from "../follow-job.ts";
import { whenServed } from "../gateway.ts";
import { mintTenantToken } from "../identity-provider.ts";
import type { Output } from "../output.ts";
import { duration } from "../progress.ts";
import { operatorTokens, type Session } from "../session.ts";
import { demoBroker } from "./demo-broker.ts";
import { demoCredentials } from "./demo-credentials.ts";
import type { PlatformFile } from "./state-folder.ts";

const PATH = "secret/data/app/db";

/**
 * Demonstrates the platform: two organizations, a secret of one, the answer to the other's token, and a credential that
 * is used and never read. If organizations exist already, it only prints commands to try.
 */
export async function demo({ out }: Session, platform: PlatformFile, signal: AbortSignal): Promise<void> {
  const controlPlane = new ControlPlane(platform.controlPlane, operatorTokens(platform.identityProvider));
  const existing = (await controlPlane.orgs()).filter(isServed);
  if (existing.length > 0) {
    out.note();
    out.note(
      `Organizations exist already (${existing.map(({ name }) => name).join(", ")}), so the demo is skipped.`,
    );
    const [org] = existing.toSorted((a, b) => a.name.localeCompare(b.name));
    if (org) printLines(out, org, platform);
    return;
  }
  for (const name of ["acme", "globex"]) {
    signal.throwIfAborted();
    out.note();
    await onboard(controlPlane, platform, name, out, signal);
  }
  await show(controlPlane, platform, out);
}

async function onboard(
  controlPlane: ControlPlane,
  platform: PlatformFile,
  name: string,
  out: Output,
  signal: AbortSignal,
): Promise<void> {
  const job = await controlPlane.createOrg({ name, claim: `org_${name}` });
  const ended = await followJob(controlPlane, job, name, out, signal);
  await whenServed(platform, `org_${name}`, { signal });
  out.note(`${name} has a Vault of its own after ${duration(jobDuration(ended))}`);
}

async function show(controlPlane: ControlPlane, platform: PlatformFile, out: Output): Promise<void> {
  const token = (org: string, ...groups: string[]) =>
    mintTenantToken(platform.identityProvider, { org: `org_${org}`, groups });
  out.note();
  out.note("acme writes a secret with a writer's token:");
  await ask(out, platform, "POST", await token("acme", "writer"), { data: { password: "s3cret" } });
  out.note("acme reads it with a reader's token:");
  await ask(out, platform, "GET", await token("acme"));
  out.note("globex reads the same path and reaches its own Vault, which is empty:");
  await ask(out, platform, "GET", await token("globex"));
  const acme = await controlPlane.findOrg("acme");
  out.note("globex bypasses the gateway and goes straight to acme's Vault, which refuses its login:");
  out.note(`  ${await loginDirectly(platform, acme, await token("globex"))}`);
  await demoCredentials(out, platform, acme);
  await demoBroker(out, platform);
  printLines(out, acme, platform);
}

/** Sends one request to the gateway and prints the response as one line. */
async function ask(
  out: Output,
  platform: PlatformFile,
  method: string,
  token: Secret,
  body?: object,
): Promise<void> {
  const response = await fetch(`${platform.gateway}/v1/${PATH}`, {
    method,
    headers: {
      authorization: `Bearer ${token.reveal()}`,
      ...(body && { "Content-Type": "application/json" }),
    },
    ...(body && { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(10_000),
  });
  const answer = (await response.json()) as { data?: { data?: object; version?: number }; errors?: string[] };
  const text = answer.data?.data ?? (answer.data ? { version: answer.data.version } : answer);
  const colour = response.ok ? "green" : "yellow";
  out.note(`  ${method} /v1/${PATH}  ${out.style(colour, String(response.status))}  ${JSON.stringify(text)}`);
}

async function loginDirectly(platform: PlatformFile, org: OrgView, token: Secret): Promise<string> {
  const endpoint = {
    address: `https://${org.listen}`,
    ca: await readFile(`${platform.state}/gateway/ca.pem`, "utf8"),
    serverName: orgServerName(org.id),
  };
  try {
    await loginWithJwt(endpoint, "jwt", "reader", token);
    return "The login succeeded. That must never happen: please report it.";
  } catch (error) {
    if (error instanceof VaultError) return `${error.status}  ${error.errors.join("; ")}`;
    throw error;
  }
}

function printLines(out: Output, org: OrgView, { demoProvider }: PlatformFile): void {
  const { name } = org;
  out.note();
  out.note(`${out.style("bold", "Try it")}, in another terminal in this folder:`);
  out.note(`  npx strongroom status`);
  out.note(`  npx strongroom vault --org ${name} --group writer -- kv put secret/app/db password=s3cret`);
  out.note(`  npx strongroom vault --org ${name} -- kv get secret/app/db`);
  if (org.instance?.pid) {
    out.note(`Kill ${name}'s Vault, and see it come back with its secrets:`);
    out.note(
      `  kill -9 ${org.instance.pid} && sleep 1 && npx strongroom vault --org ${name} -- kv get secret/app/db`,
    );
  }
  if (demoProvider) {
    out.note(`Give ${name} a key that is used and never read, and use it:`);
    out.note(
      `  printf sk_0123456789 | npx strongroom credential put key --org ${name} --group admin --origin ${demoProvider} --path '/v1/**'`,
    );
    out.note(`  npx strongroom job run key GET /v1/me --org ${name} --group writer --wait`);
    out.note(`See what ${name}'s keys were used for at once, and that no receipt was changed:`);
    out.note(`  npx strongroom receipts list --org ${name} --group auditor --limit 10`);
    out.note(`  npx strongroom receipts verify --org ${name} --group auditor`);
  }
  out.note("Onboard another organization:");
  out.note("  npx strongroom org create initech --claim org_initech --wait");
  out.note();
  out.note("Press Ctrl-C to stop everything; `npm start` brings it back with every secret.");
}

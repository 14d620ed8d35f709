import { randomBytes } from "node:crypto";
import type { UseRequest } from "../../shared/api/uses.ts";
import { readSecretFile } from "../../shared/config.ts";
import { canonicalContext, type EncryptionContext } from "../../shared/envelope/context.ts";
import { CREDENTIAL_KEYS_MOUNT } from "../../shared/envelope/transit.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { Secret } from "../../shared/secret.ts";
import { appRoleLogin } from "../../shared/vault/approle.ts";
import { type VaultClient, VaultError, vaultClient } from "../../shared/vault/client.ts";
import { policyHash } from "../../shared/work/destination.ts";
import { Failure } from "../failure.ts";
import { mintTenantToken } from "../identity-provider.ts";
import { Intake } from "../intake-client.ts";
import type { Output } from "../output.ts";
import { waitFor } from "../wait.ts";
import type { PlatformFile } from "./state-folder.ts";

const NAME = "provider-key";
const WITHIN_MS = 30_000;

/** Demonstrates credentials: a key of acme's that a worker uses, that nobody reads, and that the intake cannot open. */
export async function demoCredentials(
  out: Output,
  platform: PlatformFile,
  acme: { id: string },
): Promise<void> {
  const { demoProvider: origin } = platform;
  if (!origin) return;
  const member = (org: string, ...groups: string[]) =>
    new Intake(platform.intake, () =>
      mintTenantToken(platform.identityProvider, { org: `org_${org}`, groups }),
    );
  const [admin, writer] = [member("acme", "admin"), member("acme", "writer")];
  const destination = {
    origin,
    methods: ["GET", "POST"] as ("GET" | "POST")[],
    paths: ["/v1/**"],
    inject: { header: "Authorization", format: "Bearer {}" },
  };

  out.note();
  out.note("acme's admin stores a key of a provider, to be used there and nowhere else, and read by nobody:");
  const key = new Secret(`sk_${randomBytes(18).toString("base64url")}`);
  const stored = await admin.putCredential(NAME, { value: key.reveal(), destination });
  out.note(`  PUT /v1/credentials/${NAME}  version ${stored.version}, for ${origin}/v1/**`);
  out.note(
    "A job uses it. The worker, which alone can open it, connects, and the provider sees whose key it is:",
  );
  await use(out, writer, { method: "GET", path: "/v1/me" });
  out.note("The provider repeats the key, in its answer and in a header. The answer comes back without it:");
  await use(out, writer, { method: "GET", path: "/v1/echo" });
  out.note("globex sees nothing of it:");
  const refused = await member("globex", "admin")
    .credential(NAME)
    .then(() => "found", statusOf);
  out.note(`  GET /v1/credentials/${NAME}  ${out.style("yellow", String(refused))}`);
  out.note(
    "The intake makes data keys at the internal Vault. With the same login it can open none, not even its own:",
  );
  const context: EncryptionContext = {
    ...{ org: acme.id, credential: NAME, version: String(stored.version), purpose: "integration" },
    policy: policyHash(destination),
  };
  for (const line of await tryAsIntake(platform, context)) out.note(`  ${line}`);
}

/** Uses the key for a request, and prints what the provider answered. */
async function use(out: Output, writer: Intake, request: UseRequest): Promise<void> {
  const made = await writer.createUse({ credential: NAME, request });
  const ended = await waitFor(out, `Waiting for job ${made.id}`, () => writer.use(made.id), {
    done: ({ state }) => state !== "queued",
    doing: ({ state }) => state,
    withinMs: WITHIN_MS,
    hint: "Is the worker running? Run: strongroom status",
  });
  if (!ended.result || !("answer" in ended.result)) {
    const { class: reason, detail } = ended.failure ?? { class: "internal", detail: "it has no result" };
    throw new Failure("failure", `Job ${made.id} failed: ${reason}: ${detail}`);
  }
  const { status, body, scrubbed } = ended.result.answer;
  const removed = scrubbed > 0 ? `  (the key was removed ${scrubbed} times)` : "";
  out.note(
    `  ${request.method} ${request.path}  ${out.style("green", String(status))}  ${body.trim()}${removed}`,
  );
}

/** Makes a data key with the intake's login, then tries to have it opened. A line for each. */
async function tryAsIntake(platform: PlatformFile, context: EncryptionContext): Promise<string[]> {
  const endpoint = { address: platform.internalVault };
  const file = (name: string) => readSecretFile(`${platform.state}/intake/${name}`, name);
  const login = appRoleLogin(endpoint, { roleId: file("role-id"), secretId: file("secret-id") });
  const vault = vaultClient(endpoint, () => login.token());
  const bound = Buffer.from(canonicalContext(context)).toString("base64");
  const made = `${CREDENTIAL_KEYS_MOUNT}/datakey/plaintext/integration`;
  const { data } = await vault.write(made, { context: bound });
  const { ciphertext } = data as { ciphertext: string };
  const opened = `${CREDENTIAL_KEYS_MOUNT}/decrypt/integration`;
  return [
    `POST ${made}  200`,
    `POST ${opened}  ${await attempt(vault, opened, { ciphertext, context: bound })}`,
  ];
}

async function attempt(vault: VaultClient, path: string, body: object): Promise<string> {
  try {
    await vault.write(path, body);
    return "It was opened. That must never happen: please report it.";
  } catch (error) {
    if (!(error instanceof VaultError)) throw error;
    // Vault wraps its message in a list for people.
    return `${error.status}  ${error.errors.join("; ").split("* ").at(-1)?.trim()}`;
  }
}

const statusOf = (error: unknown): number => {
  if (error instanceof StrongroomError) return error.status;
  throw error;
};

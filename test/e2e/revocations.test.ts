import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Platform, startPlatform } from "../harness/platform.ts";

const MAIN = fileURLToPath(new URL("../../services/gateway/main.ts", import.meta.url));
/** The promise is 5 s on a machine that is not starved; polling takes one. */
const IN_FORCE_MS = 5_000;

let platform: Platform;
let acme: { id: string };
let folder: string;
let second: Gateway;

/** A second gateway, beside the platform's own, with copies of its own. */
interface Gateway {
  address: string;
  end(): Promise<void>;
}

async function startSecond(): Promise<Gateway> {
  const settings = await readFile(join(platform.state, "run", "gateway.env"), "utf8");
  const file = join(folder, "gateway.env");
  const own = {
    LISTEN: "127.0.0.1:0",
    ADDRESS_FILE: "address",
    DIRECTORY_COPY: "directory",
    REVOCATIONS_COPY: "revocations",
  };
  const replaced = Object.entries(own).reduce((text, [name, value]) => {
    const to = name === "LISTEN" ? value : join(folder, value);
    return `${text.replace(new RegExp(`^STRONGROOM_${name}=.*\n?`, "m"), "")}\nSTRONGROOM_${name}=${to}\n`;
  }, settings);
  await writeFile(file, replaced);
  await rm(join(folder, "address"), { force: true });
  const child: ChildProcess = spawn(process.execPath, [`--env-file=${file}`, MAIN], {
    env: { PATH: "/usr/bin:/bin" },
    stdio: "ignore",
  });
  const exited = once(child, "exit");
  const end = async () => {
    child.kill("SIGKILL");
    await exited;
  };
  for (;;) {
    const address = await readFile(join(folder, "address"), "utf8").catch(() => "");
    if (address) return { address, end };
    if (child.exitCode !== null) throw new Error("the second gateway did not start");
    await sleep(20);
  }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "strongroom-second-gateway-"));
  platform = await startPlatform();
  acme = await platform.createOrg("acme", "org_acme");
  second = await startSecond();
});
afterAll(async () => {
  await second?.end();
  await platform?.stop();
  await rm(folder, { recursive: true, force: true });
});

const both = () => [platform.gateway, second.address];
const token = (sub: string) => platform.token({ org: "org_acme", groups: ["writer"], sub });

async function status(gateway: string, jwt: string): Promise<number> {
  const headers = { "x-vault-token": jwt };
  const answer = await fetch(`${gateway}/v1/secret/metadata?list=true`, { headers });
  await answer.body?.cancel();
  return answer.status;
}

/** 404: it was let in, and there is nothing. */
const letIn = async (jwt: string) => {
  for (const gateway of both()) expect(await status(gateway, jwt)).toBe(404);
};

/** Waits until the token is refused at both gateways, and gives how long that took. */
async function refused(jwt: string): Promise<number> {
  const begun = performance.now();
  for (const gateway of both())
    await expect.poll(() => status(gateway, jwt), { interval: 50, timeout: 30_000 }).toBe(403);
  return performance.now() - begun;
}

test("revoked at the control plane: refused at every gateway within five seconds, sessions that are open too", async () => {
  const [ada, grace] = await Promise.all([token("ada"), token("grace")]);
  await letIn(ada);
  await platform.client.revoke(acme.id, { subject: "ada" });
  expect(await refused(ada)).toBeLessThan(IN_FORCE_MS);
  await letIn(grace);
  await sleep(1_000); // `iat` is in whole seconds
  await letIn(await token("ada")); // who signs in again is let in
});

test("revoked by its holder at one gateway: refused there at once, and at the other within five seconds", async () => {
  const jwt = await token("holder");
  await letIn(jwt);
  const answer = await fetch(`${platform.gateway}/v1/auth/token/revoke-self`, {
    method: "PUT",
    headers: { "x-vault-token": jwt },
  });
  expect(answer.status).toBe(204);
  expect(await status(platform.gateway, jwt)).toBe(403);
  expect(await refused(jwt)).toBeLessThan(IN_FORCE_MS);
});

test("what was revoked stays so though its organization is deleted and made anew with the same claim", async () => {
  const first = await platform.createOrg("phoenix", "org_phoenix");
  const of = (sub: string) => platform.token({ org: "org_phoenix", groups: ["writer"], sub });
  const [held, named, good] = await Promise.all([of("held"), of("named"), of("good")]);
  for (const jwt of [held, named, good]) await letIn(jwt);
  await platform.client.revoke(first.id, { subject: "named" });
  const ended = await fetch(`${platform.gateway}/v1/auth/token/revoke-self`, {
    method: "PUT",
    headers: { "x-vault-token": held },
  });
  expect(ended.status).toBe(204);
  for (const jwt of [held, named]) await refused(jwt);

  await platform.deleteOrg(first.id);
  const again = await platform.createOrg("phoenix", "org_phoenix");
  expect(again.id).not.toBe(first.id);
  for (const gateway of both()) await expect.poll(() => status(gateway, good)).toBe(404);
  for (const gateway of both()) {
    expect(await status(gateway, held)).toBe(403);
    expect(await status(gateway, named)).toBe(403);
  }
});

test("control plane gone and the gateway restarted: it serves, and what was revoked stays so", async () => {
  const [gone, kept] = await Promise.all([token("gone"), token("kept")]);
  await platform.client.revoke(acme.id, { subject: "gone" });
  await refused(gone);
  // Stopped rather than killed: `strongroom up` would start it again.
  const pid = await platform.servicePid("control-plane");
  process.kill(pid, "SIGSTOP");
  try {
    await second.end();
    second = await startSecond();
    await letIn(kept);
    for (const gateway of both()) expect(await status(gateway, gone)).toBe(403);
  } finally {
    process.kill(pid, "SIGCONT");
  }
});

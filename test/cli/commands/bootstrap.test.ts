import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, inject, test, vi } from "vitest";
import { StateFolder } from "../../../services/cli/platform/state-folder.ts";
import { runStrongroom } from "../../../services/cli/program.ts";
import { Secret } from "../../../services/shared/secret.ts";
import { vaultClient } from "../../../services/shared/vault/client.ts";
import { sealStatus } from "../../../services/shared/vault/init.ts";
import { isTokenAlive } from "../../../services/shared/vault/tokens.ts";
import { freeListen } from "../../harness/vault.ts";

const ROOT = "root-of-a-dev-vault";
let state: string;
const servers: ChildProcess[] = [];

beforeAll(async () => {
  state = await mkdtemp(join(tmpdir(), "strongroom-bootstrap-"));
  await mkdir(join(state, "internal-vault"));
});
afterAll(async () => {
  for (const server of servers) {
    if (server.exitCode === null && server.kill("SIGKILL")) await once(server, "exit");
  }
  await rm(state, { recursive: true, force: true });
});

/** A Vault in dev mode, as in containers. */
async function startDevVault(): Promise<string> {
  const listen = await freeListen();
  const server = spawn(
    inject("vaultBinary"),
    ["server", "-dev", "-dev-no-store-token", `-dev-listen-address=${listen}`],
    { env: { HOME: state, VAULT_DEV_ROOT_TOKEN_ID: ROOT }, stdio: "ignore" },
  );
  servers.push(server);
  const address = `http://${listen}`;
  await vi.waitFor(async () => expect((await sealStatus(vaultClient({ address }))).sealed).toBe(false), {
    timeout: 20_000,
    interval: 50,
  });
  await writeFile(join(state, "internal-vault", "root-token"), ROOT);
  return address;
}

async function bootstrap(internalVault: string): Promise<{ status: number; stderr: string }> {
  const stderr = new PassThrough();
  const args = [
    ...["--internal-vault", internalVault, "--identity-provider", "http://127.0.0.1:8290"],
    ...["--gateway", "http://127.0.0.1:8200", "--control-plane", "http://127.0.0.1:8280"],
    ...["--intake", "http://127.0.0.1:8220", "--vault-bin", inject("vaultBinary")],
  ];
  const status = await runStrongroom(["bootstrap", "--state", state, ...args], {}, new PassThrough(), stderr);
  stderr.end();
  return { status, stderr: await text(stderr) };
}

test("a dev-mode Vault is brought into its form once, and another one is refused with the way out", async () => {
  const address = await startDevVault();
  expect(await bootstrap(address)).toMatchObject({ status: 0 });
  const root = vaultClient({ address }, () => new Secret(ROOT));
  expect(await isTokenAlive(root)).toBe(false);
  await expect(stat(join(state, "internal-vault", "root-token"))).rejects.toThrow("ENOENT");
  const roleId = await readFile(join(state, "control-plane", "role-id"), "utf8");
  for (const file of ["control-plane/recovery-key.pub.asc", "control-plane/issuers.json", "gateway/ca.pem"]) {
    expect((await stat(join(state, file))).size, file).toBeGreaterThan(0);
  }

  const platform = await new StateFolder(state).platform();
  expect(platform).toMatchObject({ gateway: "http://127.0.0.1:8200", internalVault: address });
  expect(platform?.pid).toBeUndefined();

  expect(await bootstrap(address)).toMatchObject({ status: 0 });
  expect(await readFile(join(state, "control-plane", "role-id"), "utf8")).toBe(roleId);

  const refused = await bootstrap(await startDevVault());
  expect(refused.status).toBe(4);
  expect(refused.stderr).toContain("docker compose down --volumes");
});

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { expect, inject, onTestFinished, test, vi } from "vitest";
import { runStrongroom } from "../../../services/cli/program.ts";
import { Secret } from "../../../services/shared/secret.ts";
import { vaultClient } from "../../../services/shared/vault/client.ts";
import { sealStatus } from "../../../services/shared/vault/init.ts";
import { isTokenAlive } from "../../../services/shared/vault/tokens.ts";
import { startSsmEmulator } from "../../harness/ssm-emulator.ts";
import { freeListen } from "../../harness/vault.ts";

const ROOT = "root-of-a-dev-vault";
const KEY = "alias/strongroom-platform";

/** A Vault in dev mode, and what it has printed so far. */
async function startDevVault(home: string): Promise<{ address: string; printed(): string }> {
  const listen = await freeListen();
  const server = spawn(
    inject("vaultBinary"),
    ["server", "-dev", "-dev-no-store-token", `-dev-listen-address=${listen}`],
    { env: { HOME: home, VAULT_DEV_ROOT_TOKEN_ID: ROOT }, stdio: ["ignore", "pipe", "ignore"] },
  );
  onTestFinished(async () => {
    if (server.exitCode === null && server.kill("SIGKILL")) await once(server, "exit");
  });
  let printed = "";
  server.stdout.on("data", (chunk) => {
    printed += chunk;
  });
  const address = `http://${listen}`;
  await vi.waitFor(async () => expect((await sealStatus(vaultClient({ address }))).sealed).toBe(false), {
    timeout: 20_000,
    interval: 50,
  });
  return { address, printed: () => printed };
}

test("the internal Vault audits to its output, its root token ends, and the control plane's login goes to SSM", async () => {
  const state = await mkdtemp(join(tmpdir(), "strongroom-bootstrap-aws-"));
  onTestFinished(() => rm(state, { recursive: true, force: true }));
  await mkdir(join(state, "internal-vault"));
  await writeFile(join(state, "internal-vault", "root-token"), ROOT);
  const emulator = await startSsmEmulator(KEY);
  onTestFinished(() => emulator.close());
  vi.stubEnv("AWS_ENDPOINT_URL_SSM", emulator.endpoint);
  vi.stubEnv("AWS_REGION", "eu-central-1");
  vi.stubEnv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE");
  vi.stubEnv("AWS_SECRET_ACCESS_KEY", "example");
  onTestFinished(() => void vi.unstubAllEnvs());
  const { address, printed } = await startDevVault(state);

  const stderr = new PassThrough();
  const args = ["--internal-vault", address, "--prefix", "/strongroom", "--parameter-key", KEY];
  const status = await runStrongroom(
    ["bootstrap-aws", "--state", state, ...args],
    {},
    new PassThrough(),
    stderr,
  );
  stderr.end();
  expect({ status, stderr: await text(stderr) }).toMatchObject({ status: 0 });

  expect(await isTokenAlive(vaultClient({ address }, () => new Secret(ROOT)))).toBe(false);
  const put = emulator.requests.map(({ input }) => [input.Name, input.Value, input.Type]);
  for (const name of ["role-id", "secret-id"]) {
    const value = await readFile(join(state, "control-plane", name), "utf8");
    expect(put).toContainEqual([`/strongroom/platform/control-plane/${name}`, value, "SecureString"]);
  }
  const audited = /"path":"auth\/operators\/role\/operator".*"type":"response"/;
  await expect.poll(printed).toMatch(audited);
});

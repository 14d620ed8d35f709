import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, beforeAll, expect, inject, test, vi } from "vitest";
import { whenAllNodesServe } from "../../../services/cli/platform/nodes.ts";
import { createProgress } from "../../../services/shared/progress.ts";
import type { Secret } from "../../../services/shared/secret.ts";
import { vaultClient } from "../../../services/shared/vault/client.ts";
import { health } from "../../../services/shared/vault/health.ts";
import { initializeShamir, unseal } from "../../../services/shared/vault/init.ts";
import { internalServerConfig } from "../../../services/shared/vault/server-config.ts";
import { freeListen, startVaultServer, type VaultServer } from "../../harness/vault.ts";

/** Two Vaults that are found by one name, on one port, as the nodes of one are. */
const HOSTS = ["127.0.0.1", "127.0.0.2"] as const;
let port: string;
let folder: string;
const servers: VaultServer[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "strongroom-nodes-"));
  [, port = ""] = (await freeListen()).split(":");
  for (const host of HOSTS) {
    const dir = join(folder, host);
    const config = internalServerConfig({ dir, listen: `${host}:${port}` });
    servers.push(await startVaultServer(inject("vaultBinary"), dir, config, node(host)));
  }
});
afterAll(async () => {
  for (const server of servers) await server.end("SIGKILL");
  await rm(folder, { recursive: true });
});

const node = (host: string) => ({ address: `http://${host}:${port}` });
const open = (host: string) => vaultClient(node(host), undefined, 60_000);

/** Whether it is over, and what it has told the person. */
function wait(patienceMs = 60_000, hosts: readonly string[] = HOSTS) {
  const stderr = new PassThrough();
  const told = { isOver: false, text: () => String(stderr.read() ?? "") };
  const served = whenAllNodesServe(`http://vault.test:${port}`, {
    progress: createProgress(stderr),
    patienceMs,
    resolve: async (host) => (host === "vault.test" ? [...hosts] : []),
  }).finally(() => {
    told.isOver = true;
  });
  return { served, told };
}

test("one that is not initialized is not waited for; one of which a node is sealed is", async () => {
  await expect(wait().served).rejects.toThrow("does not serve: it is not initialized");

  const keys: Secret[] = [];
  for (const host of HOSTS) keys.push((await initializeShamir(open(host))).unsealKey);
  const [first, second] = keys as [Secret, Secret];
  await unseal(open("127.0.0.1"), first);
  await vi.waitFor(async () => expect(await health(open("127.0.0.1"))).toBe("active"), { timeout: 20_000 });
  await wait(60_000, ["127.0.0.1"]).served;
  const impatient = wait(0);
  await expect(impatient.served).rejects.toMatchObject({
    exit: "unavailable",
    message: expect.stringContaining("does not serve: 127.0.0.2 is sealed"),
    hint: expect.stringContaining("again"),
  });
  expect(impatient.told.text()).toMatch(
    /^Waiting until every node of \S+ serves …\n.*failed: 127\.0\.0\.2 is/,
  );

  const { served, told } = wait();
  await expect(wait(0).served).rejects.toThrow("is sealed");
  expect(told.isOver).toBe(false);
  await unseal(open("127.0.0.2"), second);
  await served;
  expect(await health(open("127.0.0.2"))).toBe("active");
});

test("one of which a node is not there is waited for in vain", async () => {
  await expect(wait(0, ["127.0.0.1", "127.0.0.3"]).served).rejects.toThrow(
    "127.0.0.3 is unreachable (ECONNREFUSED)",
  );
});

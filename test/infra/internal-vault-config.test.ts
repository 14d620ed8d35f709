import { spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, inject, test, vi } from "vitest";
import type { Secret } from "../../services/shared/secret.ts";
import { type VaultClient, vaultClient } from "../../services/shared/vault/client.ts";
import { health } from "../../services/shared/vault/health.ts";
import { initialize } from "../../services/shared/vault/init.ts";
import { awsEnvironment } from "../harness/aws/cell.ts";
import { describeOnAws } from "../harness/aws/describe.ts";
import { type MotoServer, startMoto } from "../harness/aws/moto.ts";
import { freeListen, pgpKeys, startVaultServer, type VaultServer } from "../harness/vault.ts";
import type {} from "../harness/vault-binary.ts";
import { makeInternalVaultStorage } from "./internal-vault-storage.ts";
import { synthesize } from "./synthesized.ts";

const RECOVERY = fileURLToPath(new URL("../../infra/recovery/main.ts", import.meta.url));
const INIT_MS = 60_000;
/** The lock of a node that stopped ends after 15 s. */
const LEADS_WITHIN_MS = 60_000;

describeOnAws("the internal Vault on its bucket", () => {
  let moto: MotoServer;
  let folder: string;
  let config: Awaited<ReturnType<typeof makeInternalVaultStorage>>;
  let nodes: { address: string; server: VaultServer; client: VaultClient }[] = [];
  let root: Secret;

  /** A node on the configuration, at an address of its own, on loopback and so without the certificate. */
  async function startNode() {
    const listen = await freeListen();
    const [host, port] = listen.split(":");
    const address = `http://${listen}`;
    const settings = {
      ...config,
      api_addr: config.api_addr.replace("https://{{ GetPrivateIP }}:8200", address),
      cluster_addr: config.cluster_addr.replace("{{ GetPrivateIP }}:8201", `${host}:${Number(port) + 1}`),
      listener: { tcp: { address: listen, tls_disable: true } },
    };
    const dir = await mkdtemp(join(folder, "node-"));
    const environment = awsEnvironment(moto.endpoint);
    const server = await startVaultServer(inject("vaultBinary"), dir, settings, { address }, environment);
    nodes.push({ address, server, client: vaultClient({ address }, () => root) });
  }

  async function leader(): Promise<VaultClient> {
    const states = await Promise.all(nodes.map(({ client }) => health(client)));
    expect(states.toSorted()).toEqual(["active", ...states.slice(1).map(() => "standby")]);
    return (nodes[states.indexOf("active")] as (typeof nodes)[number]).client;
  }
  const whenLed = () => vi.waitFor(leader, { timeout: LEADS_WITHIN_MS, interval: 100 });

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "strongroom-internal-vault-"));
    moto = await startMoto(inject("moto"));
    config = await makeInternalVaultStorage(moto.endpoint, synthesize().deployment);
    await startNode();
    const first = vaultClient({ address: nodes[0]?.address ?? "" }, undefined, INIT_MS);
    root = (await initialize(first, { pgpKeys: await pgpKeys(3), threshold: 2 })).rootToken;
    await startNode();
    const client = await whenLed();
    await client.write("sys/mounts/registry", { type: "kv", options: { version: "1" } });
  }, 120_000);

  afterAll(async () => {
    await Promise.all(nodes.map(({ server }) => server.end("SIGKILL")));
    await moto?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  test("unseals itself by the configuration of the template: one node leads, another stands by", async () => {
    await (await whenLed()).write("registry/org", { state: "ready" });
    expect(nodes.length).toBe(2);
  });

  test("comes back as it was at a time, by the tool of the runbook", async () => {
    const client = await whenLed();
    await client.write("registry/kept", { state: "before" });
    // S3 tells times to the second.
    await sleep(2_000);
    const at = new Date(Math.floor(Date.now() / 1000) * 1000);
    await sleep(2_000);
    await client.write("registry/kept", { state: "after" });
    await client.write("registry/later", { state: "after" });
    await client.delete("registry/org");
    await Promise.all(nodes.map(({ server }) => server.end()));
    nodes = [];

    const recover = (...more: string[]) =>
      spawnSync(
        process.execPath,
        [RECOVERY, "--bucket", config.storage.s3.bucket, "--at", at.toISOString(), ...more],
        { env: { ...awsEnvironment(moto.endpoint), PATH: process.env.PATH }, encoding: "utf8" },
      );
    const looked = recover();
    expect(looked.stderr).toContain("This was a dry run: nothing was written");
    expect(looked.stdout).toMatch(/^removed .*\/later$/m);
    // Once more does no harm: a copy is a version like any other.
    for (const done of [recover("--write"), recover("--write")]) {
      expect(done).toMatchObject({ status: 0, stdout: expect.stringMatching(/^restored .*\/org$/m) });
    }

    await startNode();
    const back = await whenLed();
    expect((await back.read("registry/kept")).data).toEqual({ state: "before" });
    expect((await back.read("registry/org")).data).toEqual({ state: "ready" });
    await expect(back.read("registry/later")).rejects.toMatchObject({ status: 404 });
  });
});

test.each([
  ["no time", ["--bucket", "b"]],
  ["no bucket", ["--at", "2026-11-24T03:00:00Z"]],
  ["a time that is not UTC's", ["--bucket", "b", "--at", "2026-11-24 03:00"]],
  ["a time to come", ["--bucket", "b", "--at", "2999-01-01T00:00:00Z"]],
])("the tool of the runbook refuses %s", (_, args) => {
  const { status, stderr } = spawnSync(process.execPath, [RECOVERY, ...args], { encoding: "utf8" });
  expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining("usage:") });
});

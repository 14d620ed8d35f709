import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Owner } from "../../services/shared/registry/owners.ts";
import type { OrgRecord } from "../../services/shared/registry/records.ts";
import type { OrgView } from "../../services/shared/registry/views.ts";
import { Secret } from "../../services/shared/secret.ts";
import { appRoleLogin } from "../../services/shared/vault/approle.ts";
import { type VaultClient, vaultClient } from "../../services/shared/vault/client.ts";
import { kv2 } from "../../services/shared/vault/kv.ts";
import { LAUNCHER, type Platform, startPlatform } from "../harness/platform.ts";

/**
 * A thief of the control plane's login writes another claim into an organization's record. The platform itself
 * then reports drift and names the repair; an operator who runs it must not let the stranger in. Nor does a gateway
 * that knows the organization take the stranger's tokens to its Vault.
 */

let platform: Platform;
let acme: OrgView;
let thief: VaultClient;
beforeAll(async () => {
  platform = await startPlatform();
  acme = await platform.createOrg("acme", "org_acme");
  const file = async (name: string) =>
    new Secret((await readFile(join(platform.state, "control-plane", name), "utf8")).trim());
  const endpoint = { address: platform.internalVault };
  const login = appRoleLogin(endpoint, { roleId: await file("role-id"), secretId: await file("secret-id") });
  thief = vaultClient(endpoint, login.token);
});
afterAll(() => platform?.stop());

const strongroom = (...args: string[]) =>
  promisify(execFile)(process.execPath, [LAUNCHER, ...args, "--state", platform.state], { encoding: "utf8" });

async function read(claim: string): Promise<number> {
  const token = await platform.token({ org: claim });
  const headers = { "X-Vault-Token": token };
  return (await fetch(`${platform.gateway}/v1/secret/data/app/db`, { headers })).status;
}

/** Why the gateway does not take the directory that the control plane publishes; null if it does. */
async function refusal(): Promise<unknown> {
  const health = await fetch(`${platform.gateway}/v1/sys/health`).catch(() => undefined);
  const { directory } = ((await health?.json()) ?? {}) as { directory?: { refused: unknown } };
  return directory?.refused;
}

test("the thief's script: a claim changed in the registry is repaired into no Vault", async () => {
  expect(await read("org_acme")).toBe(404);
  const registry = kv2(thief, "registry");
  const found = await registry.read(`orgs/${acme.id}`);
  const record = found?.data as unknown as OrgRecord;
  await registry.write(`orgs/${acme.id}`, { ...record, claim: "org_eve" }, found?.version);
  // Anything that publishes the directory; here, what an operator might do anyway.
  await platform.client.setMachineTokens(acme.id, false);

  for (const args of [
    ["org", "repair", "acme"],
    ["org", "machine-tokens", "acme", "on"],
  ]) {
    const refused = strongroom(...args);
    await expect(refused).rejects.toMatchObject({ code: 4 });
    await expect(refused).rejects.toThrow(/the claim is org_eve, the owner's is org_acme/);
  }
  await expect.poll(refusal, { timeout: 30_000 }).toBe("owner_unproven");
  expect(await read("org_eve")).toBe(503);
  expect(await read("org_acme")).toBe(404);
});

test("an operator who means it types the new claim, and all follows: owner, registry, directory, Vault", async () => {
  await expect(strongroom("org", "reassign", "acme", "--claim", "org_ajax")).rejects.toMatchObject({
    code: 2,
  });
  const other = strongroom("org", "reassign", "acme", "--claim", "org_ajax", "--confirm", "org_acme");
  await expect(other).rejects.toThrow(/Nothing was changed/);
  expect(await platform.client.org(acme.id)).toMatchObject({ claim: "org_eve" });

  // Without another claim: the registry, which the thief has changed, follows the owner's record again.
  expect((await strongroom("org", "reassign", "acme")).stdout).toContain("acme belongs to org_acme");
  await expect.poll(refusal, { timeout: 30_000 }).toBe(null);
  await expect.poll(() => read("org_acme"), { timeout: 30_000 }).toBe(404);
  expect((await strongroom("org", "repair", "acme")).stderr).toBe("acme is as it should be\n");

  const { stdout, stderr } = await strongroom(
    "org",
    "reassign",
    "acme",
    "--claim",
    "org_ajax",
    "--confirm",
    "org_ajax",
  );
  expect(stderr).toMatch(/claim +org_acme +org_ajax/);
  expect(stdout).toContain("acme belongs to org_ajax");
  await expect.poll(() => read("org_ajax"), { timeout: 30_000 }).toBe(404);
  expect(await read("org_acme")).toBe(403);
  // Gateways remember whose the old claim was: nobody else gets it while the organization lives.
  await expect(platform.createOrg("another", "org_acme")).rejects.toMatchObject({ code: "conflict" });
  expect((await strongroom("org", "repair", "acme")).stderr).toBe("acme is as it should be\n");
});

test("its login changes, removes and hides no owner's record", async () => {
  const path = `owners/data/${acme.id}`;
  const { data: before } = (await thief.read(path)) as { data: { data: { claim: string } } };
  expect(before.data.claim).toBe("org_ajax");
  const data = { ...before.data, claim: "org_eve" };
  for (const attempt of [
    () => thief.write(path, { data }),
    () => thief.write(path, { data, options: { cas: 0 } }),
    () => thief.write(path, { data, options: { cas: 1 } }),
    () => thief.delete(path),
    () => thief.delete(`owners/metadata/${acme.id}`),
    () => thief.write(`owners/metadata/${acme.id}`, { max_versions: 1 }),
    () => thief.write(`owners/delete/${acme.id}`, { versions: [1] }),
    () => thief.write(`owners/undelete/${acme.id}`, { versions: [1] }),
    () => thief.write(`owners/destroy/${acme.id}`, { versions: [1] }),
    () => thief.write("owners/config", { max_versions: 1 }),
  ]) {
    await expect(attempt()).rejects.toMatchObject({ status: 403 });
  }
  expect(await thief.read(path)).toMatchObject({ data: { metadata: { version: 3 } } });
});

test("what an operator signed for a former owner gives the organization back to nobody, nor after a restart", async () => {
  const { data } = (await thief.read(`owners/data/${acme.id}?version=2`)) as { data: { data: Owner } };
  expect(data.data).toMatchObject({ claim: "org_acme", statement: expect.any(String) });
  const registry = kv2(thief, "registry");
  const found = await registry.read(`orgs/${acme.id}`);
  const record = found?.data as unknown as OrgRecord;
  expect(record).toMatchObject({ claim: "org_ajax", statement: expect.any(String) });
  const { claim, statement } = data.data;
  await registry.write(`orgs/${acme.id}`, { ...record, claim, statement }, found?.version);
  await platform.client.setMachineTokens(acme.id, true);

  const refusedAndServed = async () => {
    await expect.poll(refusal, { timeout: 30_000 }).toBe("owner_unproven");
    expect(await read("org_acme")).toBe(503);
    expect(await read("org_ajax")).toBe(404);
  };
  await refusedAndServed();
  const pid = await platform.servicePid("gateway");
  process.kill(pid, "SIGKILL");
  const restarted = async () => (await platform.servicePid("gateway").catch(() => pid)) !== pid;
  await expect.poll(restarted, { timeout: 30_000 }).toBe(true);
  await refusedAndServed();

  expect((await strongroom("org", "reassign", "acme", "--claim", "org_ajax")).stdout).toContain("org_ajax");
  await expect.poll(refusal, { timeout: 30_000 }).toBe(null);
  expect(await read("org_ajax")).toBe(404);
});

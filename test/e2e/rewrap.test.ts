import { copyFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import type { Credential, SealingKeys } from "../../services/shared/api/credentials.ts";
import type { Rewrap } from "../../services/shared/api/uses.ts";
import type { EncryptionContext } from "../../services/shared/envelope/context.ts";
import { EnvelopeRefused } from "../../services/shared/envelope/envelope-refused.ts";
import type { KeyProvider } from "../../services/shared/envelope/key-provider.ts";
import type { DestinationPolicy } from "../../services/shared/work/destination.ts";
import { policyHash } from "../../services/shared/work/destination.ts";
import type { Material, SealedValue } from "../../services/shared/work/messages.ts";
import { openCredential } from "../../services/worker/open-credential.ts";
import { newCanary } from "../harness/canary.ts";
import { headerPolicy, keysOf } from "../harness/credential-jobs.ts";
import { type CredentialPlatform, startCredentialPlatform } from "../harness/credentials.ts";
import { sealByClient } from "../harness/takeover.ts";
import { readStore } from "../harness/thief.ts";

/*
 * What rotation, rewrap and retiring are for: a backup of the store, together with the login of the worker, opens
 * nothing any more, while the credentials themselves work on.
 */

const WITHIN = { timeout: 20_000, interval: 50 };
const KEY = "credential-keys/keys/integration";

let platform: CredentialPlatform;
let policy: DestinationPolicy;
let worker: KeyProvider;
let folder: string;
let backup: string;
const values = { "by-platform": newCanary(), "by-client": newCanary() };
const names = Object.keys(values) as (keyof typeof values)[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "strongroom-backup-"));
  backup = join(folder, "store.sqlite");
  platform = await startCredentialPlatform(inject("vaultBinary"));
  policy = headerPolicy(platform.destination.origin);
  worker = keysOf(platform.internal, "worker-integration", "integration");
  await platform.putCredential("by-platform", values["by-platform"]);
  await sealByClient(platform, "org_acme", "by-client", values["by-client"], policy);
});
afterAll(async () => {
  await platform?.stop();
  await rm(folder, { recursive: true });
});

/** A credential's value as a store's file has it, with the wrapped private key that it needs. */
function materialIn(file: string, name: string): Material {
  const items = readStore(file);
  const found = items.find((item) => item.partition.endsWith("/materials") && item.sort === name);
  const material = found?.body.material as { envelope: string } | { sealed: SealedValue };
  if ("envelope" in material) return material;
  const { sealed } = material;
  const key = items.find((item) => item.partition.endsWith("/sealing-keys") && item.sort === sealed.key);
  return { sealed, privateKey: String(key?.body.privateKey) };
}

/** What someone who has the worker's login makes of it. */
async function opened(material: Material, name: string): Promise<string> {
  const context: EncryptionContext = {
    ...{ org: platform.orgs.org_acme ?? "", credential: name, version: "1", purpose: "integration" },
    policy: policyHash(policy),
  };
  return Buffer.from(await openCredential(worker, context, material)).toString();
}

const use = async (credential: string, value: string) => {
  const { state } = await platform.runJob({ credential, request: { method: "GET", path: "/v1/me" } });
  expect(state).toBe("succeeded");
  const effect = platform.destination.effects.at(-1);
  expect(effect?.headers.authorization).toBe(`Bearer ${value}`);
};
const rotateSealingKey = async () =>
  (await platform.api<SealingKeys>("POST", "/v1/sealing-keys/rotate")).body.keys;

test("a backup opens with the worker's login, before and after the rotation", async () => {
  for (const name of ["store.sqlite", "store.sqlite-wal"]) {
    await copyFile(join(platform.folder, "intake", name), join(folder, name));
  }
  for (const name of names) expect(await opened(materialIn(backup, name), name)).toBe(values[name]);
  await platform.internal.root.write(`${KEY}/rotate`);
  for (const name of names) expect(await opened(materialIn(backup, name), name)).toBe(values[name]);
});

test("each credential is sealed anew by the newest material, and the older sealing key is dropped", async () => {
  for (const name of names) {
    const done = await platform.api<Rewrap>("POST", `/v1/credentials/${name}/rewrap`, platform.token(), {
      headers: { prefer: "wait=20" },
    });
    expect(done).toMatchObject({ status: 200, body: { type: "rewrap", state: "succeeded", version: 1 } });
    const material = materialIn(platform.storeFile, name);
    const envelope =
      "envelope" in material ? Buffer.from(material.envelope, "base64").toString("latin1") : "";
    expect(envelope).toContain("vault:v2:");
    expect(await opened(material, name)).toBe(values[name]);
    const { body } = await platform.api<Credential>("GET", `/v1/credentials/${name}`);
    expect(body.versions).toMatchObject([
      { version: 1, sealedBy: name.slice(3), rewrappedAt: expect.any(String) },
    ]);
  }
  expect(await rotateSealingKey()).toMatchObject([{ state: "current" }]);
});

test("once older material is retired, credentials are used as before, and the backup opens no more", async () => {
  await platform.internal.root.write(`${KEY}/config`, { min_decryption_version: 2 });
  for (const name of names) {
    await use(name, values[name]);
    await expect(opened(materialIn(backup, name), name)).rejects.toThrow(EnvelopeRefused);
  }
  const value = newCanary();
  await sealByClient(platform, "org_acme", "newer", value, policy);
  await use("newer", value);
});

test("a deleted credential's envelopes are in neither the store's file nor its log", async () => {
  const wanted: string[] = [];
  for (const file of [backup, platform.storeFile]) {
    const material = materialIn(file, "by-platform");
    if ("envelope" in material) wanted.push(material.envelope.slice(-64));
  }
  expect(new Set(wanted).size).toBe(2);
  const held = async () => {
    const files = [platform.storeFile, `${platform.storeFile}-wal`];
    const bytes = Buffer.concat(await Promise.all(files.map((file) => readFile(file))));
    return wanted.map((text) => bytes.includes(text));
  };
  // The second one is there now, so it would be found.
  await expect.poll(held, WITHIN).toEqual([false, true]);
  expect((await platform.api("DELETE", "/v1/credentials/by-platform")).status).toBe(204);
  await expect.poll(held, WITHIN).toEqual([false, false]);
});

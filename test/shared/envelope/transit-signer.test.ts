import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import type { Signer } from "../../../services/shared/envelope/signer.ts";
import { transitSigner } from "../../../services/shared/envelope/transit-signer.ts";
import { readCheckpoint, readCheckpointKeys } from "../../../services/shared/receipts/checkpoint-keys.ts";
import { CHECKPOINT_TYPE, chainStart } from "../../../services/shared/receipts/receipt.ts";
import { appRoleLogin } from "../../../services/shared/vault/approle.ts";
import { vaultClient } from "../../../services/shared/vault/client.ts";
import { createSigningKey } from "../../../services/shared/vault/transit.ts";
import { type InternalVault, startInternalVault } from "../../harness/vault.ts";

const CHECKPOINT = { org: "o-acme", sequence: 7, hash: chainStart("x"), at: "2026-03-01T12:00:00.000Z" };
const keysOf = async (signer: Signer) =>
  readCheckpointKeys(JSON.stringify({ keys: await signer.publicKeys() }));
const kidOf = (jws: string) =>
  JSON.parse(Buffer.from(jws.split(".")[0] as string, "base64url").toString()).kid;

describe("transit", () => {
  let vault: InternalVault;
  beforeAll(async () => {
    vault = await startInternalVault(inject("vaultBinary"));
    await createSigningKey(vault.root, "receipts");
  });
  afterAll(() => vault?.stop());

  const clientAs = (login: keyof InternalVault["logins"]) =>
    vaultClient(vault.endpoint, appRoleLogin(vault.endpoint, vault.logins[login]).token);

  test("the intake signs checkpoints that its public keys verify, before and after the key was rotated", async () => {
    const signer = transitSigner(clientAs("intake"), "receipts");
    const first = await signer.sign(CHECKPOINT_TYPE, CHECKPOINT);
    expect(kidOf(first)).toBe("receipts:1");
    expect(readCheckpoint(first, await keysOf(signer))).toEqual(CHECKPOINT);
    await vault.root.write("transit/keys/receipts/rotate");
    const second = await signer.sign(CHECKPOINT_TYPE, CHECKPOINT);
    expect(kidOf(second)).toBe("receipts:2");
    const keys = await keysOf(signer);
    expect([...keys.byKid.keys()]).toEqual(["receipts:1", "receipts:2"]);
    for (const jws of [first, second]) expect(readCheckpoint(jws, keys)).toEqual(CHECKPOINT);
  });

  test.each([
    "worker-integration",
    "worker-webhook",
    "worker-broker",
  ] as const)("%s may not sign", async (login) => {
    const client = clientAs(login);
    await expect(transitSigner(client, "receipts").sign(CHECKPOINT_TYPE, CHECKPOINT)).rejects.toMatchObject({
      reason: "forbidden",
    });
    const input = {
      input: "eA==",
      hash_algorithm: "sha2-256",
      marshaling_algorithm: "jws",
      prehashed: false,
    };
    await expect(client.write("transit/sign/receipts", input)).rejects.toMatchObject({ status: 403 });
  });

  test.each([
    ["write", "transit/sign/directory"],
    ["write", "transit/sign/ownership"],
    ["write", "transit/sign/receipts/sha2-256"],
    ["write", "transit/sign//receipts"],
    ["write", "transit/keys/receipts/rotate"],
    ["write", "transit/keys/receipts/config"],
    ["read", "transit/export/signing-key/receipts"],
    ["read", "transit/backup/receipts"],
    ["read", "transit/keys/directory"],
    ["list", "transit/keys"],
    ["delete", "transit/keys/receipts"],
  ] as const)("the intake may not %s %s", async (operation, path) => {
    const client = clientAs("intake");
    const input = {
      input: "eA==",
      hash_algorithm: "sha2-256",
      marshaling_algorithm: "jws",
      prehashed: false,
    };
    await expect(client[operation](path, input)).rejects.toMatchObject({ name: "VaultError" });
  });

  test("the intake may not have more parameters", async () => {
    const more = {
      input: "eA==",
      hash_algorithm: "none",
      marshaling_algorithm: "jws",
      prehashed: false,
      key_version: 1,
    };
    await expect(clientAs("intake").write("transit/sign/receipts", more)).rejects.toMatchObject({
      status: 403,
    });
  });

  test("a key that is not there is a failure that may pass", async () => {
    await expect(transitSigner(vault.root, "none").publicKeys()).rejects.toMatchObject({
      reason: "forbidden",
    });
  });

  test("a key of another type is refused", async () => {
    await vault.root.write("transit/keys/other", { type: "ecdsa-p384" });
    await expect(transitSigner(vault.root, "other").publicKeys()).rejects.toMatchObject({
      name: "KeyProviderError",
    });
    await expect(transitSigner(vault.root, "other").sign("x", {})).rejects.toMatchObject({
      name: "KeyProviderError",
    });
  });
});

import { compactVerify, importSPKI } from "jose";
import { expect } from "vitest";
import { newOrgId } from "../../../services/shared/org.ts";
import {
  createSigningKey,
  createUnsealKey,
  publicKeys,
  signCompactJws,
  unsealKeyName,
} from "../../../services/shared/vault/transit.ts";
import { test } from "../../harness/fixtures.ts";
import type { InternalVault } from "../../harness/vault.ts";

let vault: InternalVault;
test.beforeAll(({ internal }) => {
  vault = internal;
});

const key = async (name: string) => (await vault.root.read(`transit/keys/${name}`)).data;

test("creating a key that exists changes nothing, whatever it is asked to be", async () => {
  const org = newOrgId();
  await createUnsealKey(vault.controlPlane, org);
  const name = unsealKeyName(org);
  const before = await key(name);
  const { data } = await vault.root.write(`transit/encrypt/${name}`, { plaintext: "c2VhbA==" });

  await createUnsealKey(vault.controlPlane, org);
  await vault.root
    .write(`transit/keys/${name}`, { type: "ecdsa-p256", exportable: true, allow_plaintext_backup: true })
    .catch(() => {});

  expect(await key(name)).toEqual(before);
  expect(before).toMatchObject({
    type: "aes256-gcm96",
    exportable: false,
    allow_plaintext_backup: false,
    deletion_allowed: false,
    latest_version: 1,
  });
  const { ciphertext } = data as { ciphertext: string };
  expect(await vault.root.write(`transit/decrypt/${name}`, { ciphertext })).toMatchObject({
    data: { plaintext: "c2VhbA==" },
  });
});

test("the control plane cannot make a signing key over an existing one, nor a new one", async () => {
  const before = await key("directory");
  await expect(createSigningKey(vault.controlPlane, "directory")).rejects.toMatchObject({ status: 403 });
  await expect(createSigningKey(vault.controlPlane, "platform-new")).rejects.toMatchObject({ status: 403 });
  await expect(createSigningKey(vault.controlPlane, "anything")).rejects.toMatchObject({ status: 403 });
  expect(await key("directory")).toEqual(before);
});

test("a JWS verifies with the key's public half, and with every version's after a rotation", async () => {
  await createSigningKey(vault.root, "rotated");
  const first = await signCompactJws(vault.root, "rotated", { typ: "JWT" }, { n: 1 });
  await vault.root.write("transit/keys/rotated/rotate");
  const second = await signCompactJws(vault.root, "rotated", { typ: "JWT" }, { n: 2 });

  const keys = await publicKeys(vault.root, "rotated");
  expect(keys).toHaveLength(2);
  const verify = async (jws: string, pem: string | undefined) => {
    const { payload, protectedHeader } = await compactVerify(jws, await importSPKI(pem ?? "", "ES256"));
    expect(protectedHeader).toEqual({ alg: "ES256", typ: "JWT" });
    return JSON.parse(new TextDecoder().decode(payload));
  };
  expect(await verify(first, keys[0])).toEqual({ n: 1 });
  expect(await verify(second, keys[1])).toEqual({ n: 2 });
  await expect(verify(second, keys[0])).rejects.toThrow("signature verification failed");
});

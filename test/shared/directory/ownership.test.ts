import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { OWNERSHIP_TYP, ownershipSerial } from "../../../services/shared/directory/ownership.ts";
import { newOrgId } from "../../../services/shared/org.ts";
import { signOwnership } from "../../../services/shared/registry/owners.ts";
import { signCompactJws } from "../../../services/shared/vault/transit.ts";
import { tamper } from "../../harness/tokens.ts";
import { type InternalVault, startInternalVault } from "../../harness/vault.ts";

let internal: InternalVault;
beforeAll(async () => {
  internal = await startInternalVault(inject("vaultBinary"));
});
afterAll(() => internal?.stop());

const entry = { id: newOrgId(), issuer: "https://issuer.test/", claim: "org_acme" };
const ownership = { org: entry.id, issuer: entry.issuer, claim: entry.claim, serial: 7 };
const key = () => createPublicKey(internal.ownershipKey);

test("what an operator signs is a statement of exactly one organization, issuer and claim", async () => {
  const statement = await signOwnership(await internal.operator(), ownership);
  expect(await ownershipSerial(statement, key(), entry)).toBe(7);
  for (const other of [{ id: newOrgId() }, { issuer: "https://other.test/" }, { claim: "org_eve" }])
    expect(await ownershipSerial(statement, key(), { ...entry, ...other })).toBe(0);
  expect(await ownershipSerial(tamper(statement, 1), key(), entry)).toBe(0);
  expect(await ownershipSerial(undefined, key(), entry)).toBe(0);
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  expect(await ownershipSerial(statement, publicKey, entry)).toBe(0);
});

test("the control plane signs none, and what its own key signs is none", async () => {
  const { controlPlane } = internal;
  await expect(signOwnership(controlPlane, ownership)).rejects.toMatchObject({ status: 403 });
  const signed = await signCompactJws(controlPlane, "directory", { typ: OWNERSHIP_TYP }, ownership);
  expect(await ownershipSerial(signed, key(), entry)).toBe(0);
});

test("nor has the control plane a way to change, read or copy the key", async () => {
  const { controlPlane } = internal;
  for (const path of ["", "/config", "/rotate", "/trim", "/import_version"])
    await expect(controlPlane.write(`transit/keys/ownership${path}`, {})).rejects.toMatchObject({
      status: 403,
    });
  for (const path of ["keys/ownership", "export/signing-key/ownership", "backup/ownership"])
    await expect(controlPlane.read(`transit/${path}`)).rejects.toMatchObject({ status: 403 });
});

import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { ownershipSerial } from "../../../services/shared/directory/ownership.ts";
import { newOrgId } from "../../../services/shared/org.ts";
import {
  keyDigests,
  ownerDifferences,
  ownerOf,
  ownerRecords,
} from "../../../services/shared/registry/owners.ts";
import { CasConflictError } from "../../../services/shared/vault/kv.ts";
import { type InternalVault, startInternalVault } from "../../harness/vault.ts";

let internal: InternalVault;
beforeAll(async () => {
  internal = await startInternalVault(inject("vaultBinary"));
});
afterAll(() => internal?.stop());

const newKey = (): string =>
  generateKeyPairSync("ec", { namedCurve: "P-256" })
    .publicKey.export({ type: "spki", format: "pem" })
    .toString();

const key = newKey();
const acme = {
  issuer: {
    issuer: "https://issuer.test/",
    audience: "vaults",
    jwksUri: "https://issuer.test/jwks",
    algorithms: ["ES256" as const],
    orgClaim: "org_id",
    groupsClaim: "groups",
  },
  claim: "org_acme",
  issuerKeys: [key],
};

test("the control plane makes a record once; again with the same owner nothing happens, with another it is refused", async () => {
  const org = newOrgId();
  const records = ownerRecords(internal.controlPlane);
  expect(await records.read(org)).toBeUndefined();
  await records.create(org, ownerOf(acme));
  await records.create(org, ownerOf({ ...acme, issuerKeys: [newKey()] }));
  await expect(records.create(org, ownerOf({ ...acme, claim: "org_eve" }))).rejects.toThrow(/another owner/);
  await expect(records.replace(org, ownerOf({ ...acme, claim: "org_eve" }), 1)).rejects.toMatchObject({
    status: 403,
  });
  expect(await records.read(org)).toEqual({ value: ownerOf(acme), version: 1 });
});

test("an operator reads, makes and changes one, signing each, and removes none", async () => {
  const org = newOrgId();
  const operator = await internal.operator();
  const records = ownerRecords(operator);
  expect(await records.replace(org, ownerOf(acme), 0)).toBe(1);
  expect(await records.replace(org, ownerOf({ ...acme, claim: "org_ajax" }), 1)).toBe(2);
  await expect(records.replace(org, ownerOf(acme), 1)).rejects.toBeInstanceOf(CasConflictError);
  const { value } = (await ownerRecords(internal.controlPlane).read(org)) ?? {};
  const entry = { id: org, issuer: acme.issuer.issuer, claim: "org_ajax" };
  expect(await ownershipSerial(value?.statement, createPublicKey(internal.ownershipKey), entry)).toBe(2);
  for (const path of ["data", "metadata"]) {
    await expect(operator.delete(`owners/${path}/${org}`)).rejects.toMatchObject({ status: 403 });
  }
});

test("a record of another form is not taken for an owner's", async () => {
  await internal.root.write("owners/data/odd", { data: { ...ownerOf(acme), keys: [] } });
  await expect(ownerRecords(internal.controlPlane).read("odd")).rejects.toThrow(/not an owner's/);
});

test("each way to let in others is told, and fewer keys than the owner's let in nobody else", () => {
  const second = newKey();
  const owner = ownerOf({ ...acme, issuerKeys: [key, second] });
  expect(ownerDifferences(owner, acme)).toEqual([]);
  const strange = newKey();
  const issuer = {
    ...acme.issuer,
    audience: "others",
    jwksUri: "https://eve.test/jwks",
    algorithms: ["RS256" as const],
    orgClaim: "sub",
  };
  expect(ownerDifferences(owner, { issuer, claim: "org_eve", issuerKeys: [second, strange] })).toEqual([
    "the claim is org_eve, the owner's is org_acme",
    "the issuer's audience is others, the owner's is vaults",
    "the issuer's jwksUri is https://eve.test/jwks, the owner's is https://issuer.test/jwks",
    "the issuer's algorithms is RS256, the owner's is ES256",
    "the issuer's orgClaim is sub, the owner's is org_id",
    `the issuer's key ${keyDigests([strange])[0]?.slice(0, 16)} is not one of the owner's`,
  ]);
});

test("a key has one digest, however its PEM is written", () => {
  const written = `${key.trim().replaceAll("\n", "\r\n")}\r\n\r\n`;
  expect(keyDigests([key, written])).toEqual(keyDigests([key]));
});

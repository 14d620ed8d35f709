import { afterAll, beforeAll, expect, inject, test } from "vitest";
import {
  isNearItsEnd,
  servedCertificate,
} from "../../../services/control-plane/reconcile/served-certificate.ts";
import { newOrgId, orgServerName } from "../../../services/shared/org.ts";
import { startIssuer, type TestIssuer } from "../../harness/tokens.ts";
import { type InternalVault, type OrgVault, startInternalVault, startOrgVault } from "../../harness/vault.ts";

let internal: InternalVault;
let issuer: TestIssuer;
let acme: OrgVault;
beforeAll(async () => {
  [internal, issuer] = await Promise.all([startInternalVault(inject("vaultBinary")), startIssuer()]);
  acme = await startOrgVault(internal, { claim: "org_acme", issuer, configure: false });
});
afterAll(async () => {
  await acme?.stop();
  await internal?.stop();
  await issuer?.close();
});

test("what a Vault shows is its own certificate's validity", async () => {
  const { notBefore, notAfter } = await servedCertificate(acme.endpoint, 5_000);
  expect(notBefore.getTime()).toBeLessThanOrEqual(Date.now());
  expect(notAfter.getTime() - Date.now()).toBeGreaterThan(3_000_000);
  expect(notAfter.getTime() - Date.now()).toBeLessThanOrEqual(3_600_000);
});

test("another organization's certificate, and a Vault that is not there, are no answer", async () => {
  const other = { ...acme.endpoint, serverName: orgServerName(newOrgId()) };
  await expect(servedCertificate(other, 5_000)).rejects.toMatchObject({ name: "VaultUnreachableError" });
  const gone = { ...acme.endpoint, address: "https://127.0.0.1:1" };
  await expect(servedCertificate(gone, 5_000)).rejects.toMatchObject({ code: "ECONNREFUSED" });
});

test.each([
  [30, 7.1, false],
  [30, 6.9, true],
  [30, -1, true],
  [1, 0.25, false],
  [1, 0.2, true],
])("of %s days, with %s left: near its end is %s", (life, left, expected) => {
  const day = 24 * 3600 * 1000;
  const now = new Date("2026-03-01T00:00:00Z");
  const notAfter = new Date(now.getTime() + left * day);
  const notBefore = new Date(notAfter.getTime() - life * day);
  expect(isNearItsEnd({ notBefore, notAfter }, now)).toBe(expected);
});

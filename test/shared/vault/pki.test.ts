import { createPublicKey, X509Certificate } from "node:crypto";
import { expect } from "vitest";
import { newOrgId, orgServerName } from "../../../services/shared/org.ts";
import { keyDigest } from "../../../services/shared/server-key.ts";
import { vaultClient } from "../../../services/shared/vault/client.ts";
import {
  caCertificate,
  issueOrgCertificate,
  newServerKey,
  orgCertificateSerials,
  revokeCertificate,
  signOrgCertificate,
} from "../../../services/shared/vault/pki.ts";
import { test } from "../../harness/fixtures.ts";
import type { InternalVault } from "../../harness/vault.ts";

const DAY_MS = 24 * 3600 * 1000;

let vault: InternalVault;
test.beforeAll(({ internal }) => {
  vault = internal;
});

test("a certificate carries the organization's name alone, for servers alone, signed by the authority", async () => {
  const org = newOrgId();
  const { certificate, key, serial, notBefore, notAfter } = await issueOrgCertificate(
    vault.controlPlane,
    org,
    3600,
  );
  const x509 = new X509Certificate(certificate);
  expect(x509.subjectAltName).toBe(`DNS:${orgServerName(org)}`);
  expect(x509.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1"]);
  expect(x509.verify(new X509Certificate(vault.ca).publicKey)).toBe(true);
  expect(x509.ca).toBe(false);
  expect(`${key}`).toBe("[secret]");
  expect(key.reveal()).toContain("PRIVATE KEY");
  expect(serial.replaceAll(":", "").toUpperCase()).toBe(x509.serialNumber);
  expect(notAfter.getTime() - Date.now()).toBeLessThanOrEqual(3600 * 1000);
  expect(notBefore.getTime()).toBeLessThanOrEqual(Date.now());
});

test("each certificate that is signed from one request is of the same key", async () => {
  const { serverKey, key } = newServerKey();
  const org = newOrgId();
  const [first, second] = await Promise.all(
    [1, 2].map(() => signOrgCertificate(vault.controlPlane, org, 3600, serverKey.request)),
  );
  expect(first?.serial).not.toBe(second?.serial);
  for (const issued of [first, second]) {
    const { publicKey, subjectAltName } = new X509Certificate(issued?.certificate ?? "");
    expect(keyDigest(publicKey)).toBe(serverKey.digest);
    expect(subjectAltName).toBe(`DNS:${orgServerName(org)}`);
  }
  expect(keyDigest(createPublicKey(key.reveal()))).toBe(serverKey.digest);
  expect(serverKey.digest).toMatch(/^[A-Za-z0-9_-]{43}$/);
});

test("none outlives the setting, whatever it is asked for", async () => {
  const { notAfter } = await issueOrgCertificate(vault.controlPlane, newOrgId(), 365 * 24 * 3600);
  expect(notAfter.getTime() - Date.now()).toBeLessThanOrEqual(30 * DAY_MS);
});

test("the authority's own certificate can vouch for organizations' names alone, and is open to read", async () => {
  expect(await caCertificate(vaultClient(vault.endpoint))).toBe(vault.ca);
  const nameConstraints = Buffer.from("0603551d1e", "hex");
  const { raw } = new X509Certificate(vault.ca);
  expect(raw.includes(nameConstraints)).toBe(true);
  expect(raw.includes("org.strongroom.internal")).toBe(true);
});

test.each([
  "org.strongroom.internal",
  "*.org.strongroom.internal",
  "example.com",
  "org.strongroom.internal.example.com",
  "127.0.0.1",
  "localhost",
])("no certificate for %s", async (common_name) => {
  const csr = newServerKey().serverKey.request;
  await expect(vault.controlPlane.write("pki/sign/org-vault", { csr, common_name })).rejects.toMatchObject({
    status: 400,
  });
});

test("an organization's certificates are found by its name, without the revoked", async () => {
  const org = newOrgId();
  expect(await orgCertificateSerials(vault.controlPlane, org)).toEqual([]);
  const { serial } = await issueOrgCertificate(vault.controlPlane, org, 3600);
  const { serial: revoked } = await issueOrgCertificate(vault.controlPlane, org, 3600);
  await issueOrgCertificate(vault.controlPlane, newOrgId(), 3600);
  await revokeCertificate(vault.controlPlane, revoked);
  expect(await orgCertificateSerials(vault.controlPlane, org)).toEqual([serial]);
});

test("a revoked certificate is on the list; revoking it again, or an unknown one, is no error", async () => {
  const { serial } = await issueOrgCertificate(vault.controlPlane, newOrgId(), 3600);
  await revokeCertificate(vault.controlPlane, serial);
  await revokeCertificate(vault.controlPlane, serial);
  await revokeCertificate(vault.controlPlane, "11:22:33:44");
  const { data } = await vault.root.list("pki/certs/revoked");
  expect((data as { keys: string[] }).keys).toContain(serial);
});

import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { orgServerName } from "../org.ts";
import { Secret } from "../secret.ts";
import { keyDigest } from "../server-key.ts";
import { certificateRequest } from "./certificate-request.ts";
import { ifFound, type VaultClient, VaultError } from "./client.ts";

/** The PKI role that issues organizations' server certificates. */
export const ORG_CERTIFICATE_ROLE = "org-vault";

/** The public part of the key pair that an organization's Vault keeps for life. */
export interface ServerKey {
  /** PEM of the PKCS#10 request that each of its certificates is signed from. */
  request: string;
  /** As {@link keyDigest} makes it. */
  digest: string;
}

/** Generates the key pair of an organization's Vault. `key` is the private key, PEM. */
export function newServerKey(): { serverKey: ServerKey; key: Secret } {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key = new Secret(privateKey.export({ type: "pkcs8", format: "pem" }).toString());
  const request = certificateRequest(publicKey, privateKey);
  return { serverKey: { request, digest: keyDigest(publicKey) }, key };
}

export interface OrgCertificate {
  /** PEM of the server's certificate. Clients have the authority that signed it. */
  certificate: string;
  serial: string;
  notBefore: Date;
  notAfter: Date;
}

/** Has the internal Vault sign an organization's server certificate. `request` is PEM. */
export async function signOrgCertificate(
  client: VaultClient,
  org: string,
  ttlSeconds: number,
  request: string,
): Promise<OrgCertificate> {
  const body = await client.write(`pki/sign/${ORG_CERTIFICATE_ROLE}`, {
    csr: request,
    common_name: orgServerName(org),
    ttl: `${ttlSeconds}s`,
  });
  const data = body.data as { certificate: string; serial_number: string };
  const { validFromDate, validToDate } = new X509Certificate(data.certificate);
  return {
    certificate: data.certificate,
    serial: data.serial_number,
    notBefore: validFromDate,
    notAfter: validToDate,
  };
}

/** {@link signOrgCertificate} with a new key. `key` is the private key, PEM. */
export async function issueOrgCertificate(
  client: VaultClient,
  org: string,
  ttlSeconds: number,
): Promise<OrgCertificate & { key: Secret }> {
  const { serverKey, key } = newServerKey();
  return { ...(await signOrgCertificate(client, org, ttlSeconds, serverKey.request)), key };
}

/** Revokes a certificate. Not an error if it is already revoked, expired or no longer known. */
export async function revokeCertificate(client: VaultClient, serial: string): Promise<void> {
  try {
    await client.write("pki/revoke", { serial_number: serial });
  } catch (error) {
    if (error instanceof VaultError && error.status === 400 && /not found/.test(error.message)) return;
    throw error;
  }
}

const READ_TOGETHER = 16;

/** Serial numbers of an organization's unrevoked certificates. Reads every certificate in the store. */
export async function orgCertificateSerials(client: VaultClient, org: string): Promise<string[]> {
  const { data } = await client.list("pki/certs");
  const serials = (data as { keys: string[] }).keys;
  const found: string[] = [];
  const left = serials.values();
  const worker = async () => {
    for (const serial of left) {
      const body = await ifFound(client.read(`pki/cert/${serial}`));
      const { certificate, revocation_time } = (body?.data ?? {}) as IssuedCertificate;
      if (!certificate || revocation_time) continue;
      if (new X509Certificate(certificate).subjectAltName === `DNS:${orgServerName(org)}`) found.push(serial);
    }
  };
  await Promise.all(Array.from({ length: READ_TOGETHER }, worker));
  return found;
}

interface IssuedCertificate {
  certificate?: string;
  /** Seconds since 1970; 0 if it is not revoked. */
  revocation_time?: number;
}

/** PEM of a PKI mount's authority; by default the organizations'. Requires no token. */
export async function caCertificate(client: VaultClient, mount = "pki"): Promise<string> {
  const body = await client.read(`${mount}/cert/ca`);
  return (body.data as { certificate: string }).certificate;
}

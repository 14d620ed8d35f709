import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { orgServerName } from "../org.ts";
import { Secret } from "../secret.ts";
import { keyDigest } from "../server-key.ts";
import { certificateRequest } from "./certificate-request.ts";
import { ifFound, type VaultClient, VaultError } from "./client.ts";

/** The PKI role that organizations' server certificates are issued by. */
export const ORG_CERTIFICATE_ROLE = "org-vault";

/** The public side of the key pair that an organization's Vault keeps for its life. */
export interface ServerKey {
  /** PEM of the PKCS#10 request that each of its certificates is signed from. */
  request: string;
  /** As {@link keyDigest} makes it. */
  digest: string;
}

/** Makes the key pair of an organization's Vault. `key` is PEM of the private key. */
export function newServerKey(): { serverKey: ServerKey; key: Secret } {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key = new Secret(privateKey.export({ type: "pkcs8", format: "pem" }).toString());
  const request = certificateRequest(publicKey, privateKey);
  return { serverKey: { request, digest: keyDigest(publicKey) }, key };
}

export interface OrgCertificate {
  /** PEM of the server's certificate; the one that signed it is the authority clients are given. */
  certificate: string;
  serial: string;
  notBefore: Date;
  notAfter: Date;
}

/** Has the certificate signed by which an organization's Vault proves whose it is. `request` is PEM. */
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

/** The same with a key of its own. `key` is PEM of the private key. */
export async function issueOrgCertificate(
  client: VaultClient,
  org: string,
  ttlSeconds: number,
): Promise<OrgCertificate & { key: Secret }> {
  const { serverKey, key } = newServerKey();
  return { ...(await signOrgCertificate(client, org, ttlSeconds, serverKey.request)), key };
}

/** Revokes a certificate. One that is revoked, has ended, or is not known any more is no error. */
export async function revokeCertificate(client: VaultClient, serial: string): Promise<void> {
  try {
    await client.write("pki/revoke", { serial_number: serial });
  } catch (error) {
    if (error instanceof VaultError && error.status === 400 && /not found/.test(error.message)) return;
    throw error;
  }
}

const READ_TOGETHER = 16;

/** Serials of the certificates of one organization that are not revoked. Reads every certificate there is. */
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
  /** Seconds since 1970; 0 where it is not revoked. */
  revocation_time?: number;
}

/** PEM of the authority of a PKI mount; by default the organizations'. An open path: needs no token. */
export async function caCertificate(client: VaultClient, mount = "pki"): Promise<string> {
  const body = await client.read(`${mount}/cert/ca`);
  return (body.data as { certificate: string }).certificate;
}

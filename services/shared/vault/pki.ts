import { X509Certificate } from "node:crypto";
import { orgServerName } from "../org.ts";
import { Secret } from "../secret.ts";
import { ifFound, type VaultClient, VaultError } from "./client.ts";

/** The PKI role that organizations' server certificates are issued by. */
export const ORG_CERTIFICATE_ROLE = "org-vault";

export interface OrgCertificate {
  /** PEM of the server's certificate; the one that signed it is the authority clients are given. */
  certificate: string;
  /** PEM of its private key. */
  key: Secret;
  serial: string;
  notBefore: Date;
  notAfter: Date;
}

/** Issues the certificate by which an organization's Vault proves whose it is. */
export async function issueOrgCertificate(
  client: VaultClient,
  org: string,
  ttlSeconds: number,
): Promise<OrgCertificate> {
  const body = await client.write(`pki/issue/${ORG_CERTIFICATE_ROLE}`, {
    common_name: orgServerName(org),
    ttl: `${ttlSeconds}s`,
  });
  const data = body.data as { certificate: string; private_key: string; serial_number: string };
  const { validFromDate, validToDate } = new X509Certificate(data.certificate);
  return {
    certificate: data.certificate,
    key: new Secret(data.private_key),
    serial: data.serial_number,
    notBefore: validFromDate,
    notAfter: validToDate,
  };
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

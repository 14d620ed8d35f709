import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { CertificationRequest, CertificationRequestInfo } from "@peculiar/asn1-csr";
import { AsnConvert } from "@peculiar/asn1-schema";
import { AlgorithmIdentifier, Name, SubjectPublicKeyInfo } from "@peculiar/asn1-x509";
import { Secret } from "../secret.ts";
import { type ClientCertificate, type VaultClient, type VaultEndpoint, vaultClient } from "./client.ts";
import { CLIENT_ROLE, type ClientMount, clientAuthority } from "./client-authority.ts";

const ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2";

/**
 * A certificate that opens one mount of one organization's Vault for two minutes, signed at the internal Vault
 * by the authority that is the mount's own. Its key is made here and never leaves this process.
 */
export async function makeClientCertificate(
  signer: VaultClient,
  mount: ClientMount,
  org: string,
): Promise<ClientCertificate> {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const body = await signer.write(`${clientAuthority(mount)}/sign/${CLIENT_ROLE}`, {
    csr: certificateRequest(publicKey, privateKey),
    common_name: org,
  });
  const { certificate } = body.data as { certificate: string };
  return {
    certificate,
    key: new Secret(privateKey.export({ type: "pkcs8", format: "pem" }).toString()),
  };
}

/**
 * Logs in at a mount by a client certificate and returns a client with the token. What it is told is worth
 * nothing to anybody between: the certificate's key signs the handshake of this connection, and the token goes
 * out on no other. Throws `VaultError` 400 or 403 if Vault refuses it.
 */
export async function loginWithCertificate(
  endpoint: VaultEndpoint,
  mount: ClientMount,
  client: ClientCertificate,
): Promise<VaultClient> {
  let token: Secret | undefined;
  const vault = vaultClient({ ...endpoint, client }, () => token);
  const body = await vault.write(`auth/${mount}/login`, { name: mount });
  token = new Secret((body.auth as { client_token: string }).client_token);
  return vault;
}

/** A PKCS#10 request (RFC 2986) as PEM, without a subject: who it is for is said beside it. */
function certificateRequest(publicKey: KeyObject, privateKey: KeyObject): string {
  const certificationRequestInfo = new CertificationRequestInfo({
    subject: new Name(),
    subjectPKInfo: AsnConvert.parse(publicKey.export({ type: "spki", format: "der" }), SubjectPublicKeyInfo),
  });
  const signed = sign("sha256", Buffer.from(AsnConvert.serialize(certificationRequestInfo)), privateKey);
  const request = new CertificationRequest({
    certificationRequestInfo,
    signatureAlgorithm: new AlgorithmIdentifier({ algorithm: ECDSA_WITH_SHA256 }),
    signature: Uint8Array.from(signed).buffer,
  });
  const text = Buffer.from(AsnConvert.serialize(request)).toString("base64");
  const lines = text.match(/.{1,64}/g) ?? [];
  return ["-----BEGIN CERTIFICATE REQUEST-----", ...lines, "-----END CERTIFICATE REQUEST-----"].join("\n");
}

import { generateKeyPairSync } from "node:crypto";
import { Secret } from "../../shared/secret.ts";
import { certificateRequest } from "../../shared/vault/certificate-request.ts";
import {
  type ClientCertificate,
  type VaultClient,
  type VaultEndpoint,
  vaultClient,
} from "../../shared/vault/client.ts";
import { CLIENT_ROLE, type ClientMount, clientAuthority } from "../../shared/vault/client-authority.ts";

/**
 * A certificate that opens one mount of one organization's Vault for two minutes, signed at the internal Vault by that
 * mount's authority. Its key is generated here and never leaves this process.
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
 * Logs in at a mount with a client certificate and returns a client with the token. A relay gains nothing: the
 * certificate's key signs this connection's handshake, and the token is sent on no other connection. Throws
 * `VaultError` 400 or 403 if Vault refuses it.
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

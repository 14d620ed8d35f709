import type { IncomingHttpHeaders } from "node:http";
import { StrongroomError } from "../errors.ts";

/**
 * Refuses the two headers of Vault's clients that would change a request's meaning and are not supported: a namespace,
 * unless it is empty or the ID of the caller's own organization, and response wrapping. Throws `invalid_request`. Any
 * other header is neither read nor forwarded.
 */
export function checkHeaders(headers: IncomingHttpHeaders, org: string): void {
  const namespace = headers["x-vault-namespace"] ?? "";
  if (namespace !== "" && namespace !== org && namespace !== `${org}/`) {
    const detail = "Namespaces are not supported: the token determines the organization.";
    throw new StrongroomError("invalid_request", `${detail} Unset VAULT_NAMESPACE (X-Vault-Namespace).`);
  }
  if (headers["x-vault-wrap-ttl"]) {
    const detail =
      "Response wrapping is not supported. Omit -wrap-ttl and unset VAULT_WRAP_TTL (X-Vault-Wrap-TTL).";
    throw new StrongroomError("invalid_request", detail);
  }
}

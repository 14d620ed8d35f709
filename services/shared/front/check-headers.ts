import type { IncomingHttpHeaders } from "node:http";
import { StrongroomError } from "../errors.ts";

/**
 * Refuses the two headers of Vault's clients that would change what a request means and are not served:
 * a namespace, unless it is empty or the id of the caller's own organization, and response wrapping. Throws
 * `invalid_request`. Any other header is neither read nor forwarded.
 */
export function checkHeaders(headers: IncomingHttpHeaders, org: string): void {
  const namespace = headers["x-vault-namespace"] ?? "";
  if (namespace !== "" && namespace !== org && namespace !== `${org}/`) {
    const detail = "There are no namespaces here: the token says which organization's Vault it is.";
    throw new StrongroomError("invalid_request", `${detail} Unset VAULT_NAMESPACE (X-Vault-Namespace).`);
  }
  if (headers["x-vault-wrap-ttl"]) {
    const detail = "Responses are not wrapped here. Leave out -wrap-ttl, VAULT_WRAP_TTL (X-Vault-Wrap-TTL).";
    throw new StrongroomError("invalid_request", detail);
  }
}

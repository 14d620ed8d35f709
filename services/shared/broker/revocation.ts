import type { ProviderChoice } from "./connections.ts";
import type { BrokerPolicy } from "./policy.ts";
import { type Provider, providerOf, servesApi } from "./providers.ts";

/**
 * How the grant of a connection's credential is revoked; undefined if its provider has no way. What is sealed with the
 * value decides where it is sent: an endpoint in its policy, or that of the provider whose API the policy names.
 */
export function revocationOf(
  { grant, origin }: BrokerPolicy,
  choice: ProviderChoice,
): Provider["revocation"] | undefined {
  if (grant) {
    const endpoint = grant.type === "refresh_token" ? grant.revocation : undefined;
    return endpoint === undefined ? undefined : { type: "rfc7009", endpoint };
  }
  const known = typeof choice === "string" ? providerOf(choice) : undefined;
  return known && servesApi(known, origin) ? known.revocation : undefined;
}

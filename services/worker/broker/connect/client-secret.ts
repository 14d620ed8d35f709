import type { ClientAuth } from "oauth4webapi";
import type { SealedCredential } from "../../../shared/broker/calls.ts";
import type { Provider } from "../../../shared/broker/providers.ts";
import type { KeyProvider } from "../../../shared/envelope/key-provider.ts";
import { openSealed } from "../sealed-credential.ts";
import { clientAuth } from "../token/oauth.ts";
import { UseFailure } from "../use-failure.ts";

/**
 * A client's secret, from the credential in which it is stored, if it has one. Throws UseFailure unless it was stored for
 * the provider's token endpoint; EnvelopeRefused, KeyProviderError.
 */
export async function openSecret(
  keys: KeyProvider,
  org: string,
  sealed: SealedCredential | undefined,
  tokenEndpoint: string,
): Promise<string | undefined> {
  if (!sealed) return undefined;
  if (sealed.policy.origin !== new URL(tokenEndpoint).origin) {
    const detail = "The client's secret was stored for another origin than the provider's token endpoint.";
    throw new UseFailure("not_allowed", detail, { part: "secretCredential" });
  }
  const bytes = await openSealed(keys, org, sealed);
  try {
    return Buffer.from(bytes).toString("utf8");
  } finally {
    bytes.fill(0);
  }
}

/** How a client authenticates at a provider. */
export const clientAuthOf = (
  provider: Pick<Provider, "clientAuth">,
  secret: string | undefined,
): ClientAuth => clientAuth(secret === undefined ? "none" : provider.clientAuth, secret);

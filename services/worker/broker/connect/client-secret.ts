import { type ClientAuth, ClientSecretBasic, ClientSecretPost, None } from "oauth4webapi";
import type { SealedCredential } from "../../../shared/broker/calls.ts";
import { brokerPolicyHash } from "../../../shared/broker/policy.ts";
import type { Provider } from "../../../shared/broker/providers.ts";
import type { KeyProvider } from "../../../shared/envelope/key-provider.ts";
import { openCredential } from "../../open-credential.ts";
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
  const { name, version, policy, material } = sealed;
  if (policy.origin !== new URL(tokenEndpoint).origin) {
    const detail = "The client's secret was stored for another origin than the provider's token endpoint.";
    throw new UseFailure("not_allowed", detail, { part: "secretCredential" });
  }
  const context = { org, credential: name, version: String(version), purpose: "broker" } as const;
  const bytes = await openCredential(keys, { ...context, policy: brokerPolicyHash(policy) }, material);
  try {
    return Buffer.from(bytes).toString("utf8");
  } finally {
    bytes.fill(0);
  }
}

/** How a client authenticates at a provider. */
export function clientAuthOf(
  { clientAuth }: Pick<Provider, "clientAuth">,
  secret: string | undefined,
): ClientAuth {
  if (secret === undefined) return None();
  return clientAuth === "basic" ? ClientSecretBasic(secret) : ClientSecretPost(secret);
}

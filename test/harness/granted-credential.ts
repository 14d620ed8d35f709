import type { SealedCredential } from "../../services/shared/broker/calls.ts";
import type { Grant } from "../../services/shared/broker/grant.ts";
import { type BrokerPolicy, brokerPolicyHash } from "../../services/shared/broker/policy.ts";
import { seal } from "../../services/shared/envelope/envelope.ts";
import type { KeyProvider } from "../../services/shared/envelope/key-provider.ts";
import { createExchange, type Exchange } from "../../services/worker/outbound/exchange.ts";
import type { TokenEndpoint } from "./token-endpoint.ts";

export const who: Grant["who"] = { level: "writer" };

/** A policy with a grant, and one rule for all. */
export const policyOf = (grant: Grant): BrokerPolicy => ({
  origin: "https://api.example.test",
  inject: { token: { header: "Authorization", format: "Bearer {}" } },
  rules: [{ id: "all", methods: ["GET"], paths: ["/**"], who: { level: "reader" } }],
  grant,
});

/** A value sealed for a policy, as the intake has it. */
export async function sealedCredential(
  keys: KeyProvider,
  org: string,
  value: string,
  policy: BrokerPolicy,
  { name = "provider", version = 1 } = {},
): Promise<SealedCredential> {
  const context = {
    ...{ org, credential: name, version: String(version), purpose: "broker" as const },
    policy: brokerPolicyHash(policy),
  };
  const envelope = await seal(keys, context, new TextEncoder().encode(value));
  return { name, version, policy, material: { envelope: Buffer.from(envelope).toString("base64") } };
}

/** The worker's way out, to providers on loopback. */
export const exchangeTo = (providers: TokenEndpoint[], totalMs = 5_000): Exchange =>
  createExchange({
    totalMs,
    privateDestinations: new Map(providers.map(({ origin, exception }) => [origin, exception])),
  });

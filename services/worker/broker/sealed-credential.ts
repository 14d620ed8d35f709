import type { SealedCredential } from "../../shared/broker/calls.ts";
import { type BrokerPolicy, brokerPolicyHash } from "../../shared/broker/policy.ts";
import { seal } from "../../shared/envelope/envelope.ts";
import type { KeyProvider } from "../../shared/envelope/key-provider.ts";
import { openCredential } from "../open-credential.ts";

/** What a value of the broker is sealed for. */
export interface SealedFor {
  org: string;
  credential: string;
  version: number;
  policy: BrokerPolicy;
}

const contextOf = ({ org, credential, version, policy }: SealedFor) => ({
  ...{ org, credential, version: String(version), purpose: "broker" as const },
  policy: brokerPolicyHash(policy),
});

/** Opens the value of a call's credential, whose bytes the caller zeroes. Throws EnvelopeRefused and KeyProviderError. */
export function openSealed(
  keys: KeyProvider,
  org: string,
  { name: credential, version, policy, material }: SealedCredential,
): Promise<Uint8Array> {
  return openCredential(keys, contextOf({ org, credential, version, policy }), material);
}

/** Seals a value: base64. Throws KeyProviderError. */
export async function sealValue(keys: KeyProvider, of: SealedFor, value: Uint8Array): Promise<string> {
  return Buffer.from(await seal(keys, contextOf(of), value)).toString("base64");
}

import { Type } from "typebox";
import { Value } from "typebox/value";
import { SealedCredential, UseCall } from "../../shared/broker/calls.ts";
import { BrokerPolicy, brokerPolicyHash } from "../../shared/broker/policy.ts";

const closed = { additionalProperties: false };
const credential = Type.Object({ ...SealedCredential.properties, policy: Type.Object({}) }, closed);
const WithAnyPolicy = Type.Object({ ...UseCall.properties, credential }, closed);

/** Hashes of policies that were checked. Most calls come with one of few, and a policy is most of a call. */
const checked = new Set<string>();
const MOST_CHECKED = 10_000;

/** Whether a value is a call. */
export function isUseCall(value: unknown): value is UseCall {
  if (!Value.Check(WithAnyPolicy, value)) return false;
  const policy = value.credential.policy as BrokerPolicy;
  const hash = brokerPolicyHash(policy);
  if (checked.has(hash)) return true;
  if (!Value.Check(BrokerPolicy, policy)) return false;
  if (checked.size >= MOST_CHECKED) checked.clear();
  checked.add(hash);
  return true;
}

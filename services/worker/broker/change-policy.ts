import type { SealedCredential } from "../../shared/broker/calls.ts";
import { type ChangedPolicy, ChangePolicy } from "../../shared/broker/change-policy.ts";
import { type BrokerPolicy, destinationsOf } from "../../shared/broker/policy.ts";
import { canonicalJson } from "../../shared/canonical-json.ts";
import type { KeyProvider } from "../../shared/envelope/key-provider.ts";
import { isAtLeast } from "../../shared/front/levels.ts";
import { type Operation, operation } from "./operations.ts";
import { openSealed, sealValue } from "./sealed-credential.ts";
import { UseFailure } from "./use-failure.ts";

/** Whether a value was replaced by its provider, and may not be sealed any more. */
export type IsReplaced = (org: string, credential: SealedCredential) => boolean;

/** Changes a policy without the value: opens it under the old one, and seals it under the new one for the next version. */
export const changePolicy = (keys: KeyProvider, isReplaced: IsReplaced): Operation =>
  operation("change-policy", ChangePolicy, async ({ org, credential, policy }, { caller }) => {
    if (!isAtLeast(caller.level, "admin")) {
      throw new UseFailure("forbidden", "only an admin may change what a credential is used for");
    }
    checkChange(credential.policy, policy);
    if (isReplaced(org, credential)) {
      throw new UseFailure("not_openable", "the provider has replaced the value: store the new one first");
    }
    const version = credential.version + 1;
    const value = await openSealed(keys, org, credential);
    try {
      const envelope = await sealValue(keys, { org, credential: credential.name, version, policy }, value);
      return { version, envelope } satisfies ChangedPolicy;
    } finally {
      value.fill(0);
    }
  });

/**
 * Throws UseFailure `not_allowed` if, by the new policy, the value could be sent elsewhere or otherwise, or be turned into
 * another token: that takes the value itself.
 */
function checkChange(before: BrokerPolicy, after: BrokerPolicy): void {
  const known = destinationsOf(before);
  const part = !same(before.inject, after.inject)
    ? "inject"
    : before.origin !== after.origin || !destinationsOf(after).every((each) => known.includes(each))
      ? "origin"
      : same(tokenOf(before), tokenOf(after)) && isNarrower(scopesOf(after), scopesOf(before))
        ? undefined
        : "grant";
  if (part === undefined) return;
  const detail = `a policy whose ${part} differs needs the value: put the credential anew`;
  throw new UseFailure("not_allowed", detail, { part });
}

const same = (one: unknown, other: unknown): boolean =>
  canonicalJson(one ?? null) === canonicalJson(other ?? null);

/** What a grant makes of the value; who may have it, for how long, and with how few scopes, is a rule. */
function tokenOf({ grant }: BrokerPolicy): unknown {
  if (!grant) return undefined;
  const { who: _who, lifetimeSeconds: _lifetimeSeconds, scopes: _scopes, ...rest } = { scopes: [], ...grant };
  return rest;
}

const scopesOf = ({ grant }: BrokerPolicy): string[] => (grant && "scopes" in grant ? grant.scopes : []);
const isNarrower = (one: string[], other: string[]): boolean => one.every((scope) => other.includes(scope));

import { brokerPolicyHash } from "../../shared/broker/policy.ts";
import type { Recipe } from "../../shared/broker/recipe.ts";
import type { EncryptionContext } from "../../shared/envelope/context.ts";
import { seal } from "../../shared/envelope/envelope.ts";
import type { KeyProvider } from "../../shared/envelope/key-provider.ts";
import type { Material, Outcome, RotateMessage, Traffic } from "../../shared/work/messages.ts";
import { UseFailure } from "../broker/use-failure.ts";
import { JobFailure } from "../job-failure.ts";
import { openCredential } from "../open-credential.ts";
import type { DialPostgresql } from "../outbound/dial-postgresql.ts";
import type { Exchange } from "../outbound/exchange.ts";
import type { Run } from "../work.ts";
import { awsAccessKey } from "./aws-access-key.ts";
import { postgresql } from "./postgresql.ts";
import { type Call, metered, type RecipeSteps } from "./recipes.ts";
import { rest } from "./rest.ts";

export interface RotationParts {
  keys: KeyProvider;
  exchange: Exchange;
  dialPostgresql: DialPostgresql;
  /** Milliseconds since 1970. */
  now?: () => number;
}

/**
 * Does one phase of a rotation. A new value leaves this function only in an envelope, sealed for the credential's next
 * version and the same policy. Throws JobFailure, EnvelopeRefused and KeyProviderError.
 */
export async function rotate(
  { keys, exchange, dialPostgresql, now = Date.now }: RotationParts,
  message: RotateMessage,
  { signal, reached }: Run,
): Promise<Outcome> {
  const { policy, phase, version } = message;
  const recipe = policy.rotation;
  if (!recipe) throw new JobFailure("policy_mismatch", "the policy has no recipe for a rotation");
  const steps = stepsOf(recipe, dialPostgresql);
  const context = (of: number): EncryptionContext => ({
    ...{ org: message.org, credential: message.credential, version: String(of) },
    ...{ purpose: "broker", policy: brokerPolicyHash(policy) },
  });
  const { send, traffic } = metered(exchange, signal);
  const call: Call = { recipe, policy, send, signal, now: now() };
  const opened: Uint8Array[] = [];
  const open = async (of: number, material: Material): Promise<Uint8Array> => {
    const value = await openCredential(keys, context(of), material);
    opened.push(value);
    return value;
  };
  const openPending = async (): Promise<Uint8Array> => {
    if (!message.pending) throw malformed("pending");
    return open(version + 1, message.pending);
  };
  try {
    const current = await open(version, message.material);
    reached("opened");
    switch (phase) {
      case "make": {
        const { once, lostSince } = message;
        if (once === undefined || lostSince === undefined) throw malformed("once");
        const { value, ...ids } = await steps.make(call, current, { once, lostSince });
        opened.push(value);
        reached("sent");
        const envelope = await seal(keys, context(version + 1), value);
        return { state: "rotated", envelope: Buffer.from(envelope).toString("base64"), ...ids, traffic };
      }
      case "apply":
        if (!steps.apply)
          throw new JobFailure("policy_mismatch", "the recipe's provider makes its keys itself");
        await steps.apply(call, current, await openPending());
        break;
      case "check":
        await steps.check(call, await openPending());
        break;
      case "revoke":
        await revoke(message, steps, call, current, open);
        break;
    }
    reached("sent");
    return { state: "rotated", traffic };
  } catch (error) {
    throw withTraffic(error, traffic);
  } finally {
    for (const value of opened) value.fill(0);
  }
}

function stepsOf(recipe: Recipe, dial: DialPostgresql): RecipeSteps<Recipe> {
  const all = { rest, aws_access_key: awsAccessKey, postgresql: postgresql(dial) };
  // The recipe's `type` picks the steps that fit it.
  return all[recipe.type] as unknown as RecipeSteps<Recipe>;
}

/**
 * Revokes a key by the current value, which shows that that one works. If the provider does not let it, the value that
 * it replaced is asked, if the current one was shown to work right before.
 */
async function revoke(
  { key, retiring }: RotateMessage,
  steps: RecipeSteps<Recipe>,
  call: Call,
  current: Uint8Array,
  open: (version: number, material: Material) => Promise<Uint8Array>,
): Promise<void> {
  if (key === undefined) throw malformed("key");
  if (!steps.revoke) throw new JobFailure("policy_mismatch", "the recipe's provider revokes nothing");
  if (steps.keyOf?.(current) === key) {
    throw new JobFailure("policy_mismatch", "the key to revoke is the current one");
  }
  try {
    await steps.revoke(call, current, key);
  } catch (error) {
    const isRefused = error instanceof JobFailure && error.failure === "provider_refused";
    if (!isRefused || !retiring) throw error;
    await steps.check(call, current);
    await steps.revoke(call, await open(retiring.version, retiring.material), key);
  }
}

function withTraffic(error: unknown, traffic: Traffic): unknown {
  const failure = error instanceof UseFailure ? new JobFailure("request_not_allowed", error.message) : error;
  if (failure instanceof JobFailure) failure.traffic = traffic;
  return failure;
}

const malformed = (member: string) => new JobFailure("malformed", `the message has no ${member}`);

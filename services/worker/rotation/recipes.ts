import type { BrokerPolicy } from "../../shared/broker/policy.ts";
import type { Recipe } from "../../shared/broker/recipe.ts";
import type { Traffic } from "../../shared/work/messages.ts";
import { JobFailure } from "../job-failure.ts";
import type { Answer, Exchange, Sent } from "../outbound/exchange.ts";

/** A value that a provider has made, or that is to become one there. The caller zeroes it. */
export interface Made {
  value: Uint8Array;
  /** The provider's ids of the new key and of the current one, if they are known. */
  key?: string;
  currentKey?: string;
}

/** What a recipe needs of a job. */
export interface Call<R extends Recipe = Recipe> {
  recipe: R;
  policy: BrokerPolicy;
  /** Sends one request, and counts what it sends and gets. */
  send(sent: Sent): Promise<Answer>;
  signal: AbortSignal;
  /** Milliseconds since 1970. */
  now: number;
}

/** The values are never part of an error. All throw JobFailure; each may be called twice for one rotation. */
export interface RecipeSteps<R extends Recipe> {
  /** `once` is the same for all attempts to make one key; since `lostSince`, in seconds, one may have been made and lost. */
  make(call: Call<R>, current: Uint8Array, attempt: { once: string; lostSince: number }): Promise<Made>;
  /** Makes the provider take a value that was made here. */
  apply?(call: Call<R>, current: Uint8Array, pending: Uint8Array): Promise<void>;
  /** Shows that a value works. */
  check(call: Call<R>, value: Uint8Array): Promise<void>;
  /** Revokes a key by the current value; one that is gone is revoked. */
  revoke?(call: Call<R>, current: Uint8Array, key: string): Promise<void>;
  /** The provider's id of a key, if the value tells it. */
  keyOf?(value: Uint8Array): string;
}

const TOO_MANY_REQUESTS = 429;
const TIMEOUT = 408;

/** Why a provider's answer is no success. Nothing of the answer but its status is told. */
export function refused({ status }: Answer, what: string): JobFailure {
  const mayPass = status >= 500 || status === TOO_MANY_REQUESTS || status === TIMEOUT;
  return new JobFailure(
    mayPass ? "unreachable" : "provider_refused",
    `the provider answered ${status} when asked to ${what}`,
  );
}

export const isSuccess = ({ status }: Answer): boolean => status >= 200 && status < 300;

/** An exchange that counts. */
export function metered(exchange: Exchange, signal: AbortSignal): { send: Call["send"]; traffic: Traffic } {
  const traffic: Traffic = { sentBytes: 0, receivedBytes: 0 };
  return {
    traffic,
    async send(sent) {
      delete traffic.status;
      traffic.sentBytes += sent.body?.byteLength ?? 0;
      const answer = await exchange(sent, signal);
      traffic.status = answer.status;
      traffic.receivedBytes += answer.body.byteLength;
      return answer;
    },
  };
}

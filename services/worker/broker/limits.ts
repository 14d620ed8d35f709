import type { Rule } from "../../shared/broker/rules.ts";
import { KeyedGcra } from "../../shared/front/gcra.ts";
import { UseFailure } from "./use-failure.ts";

const MINUTE_MS = 60_000;
const MOST_KEYS = 100_000;

/** Calls in hand at once. */
export interface CallLimits {
  all: number;
  ofOrg: number;
  /** If the credential's policy does not say. */
  ofCredential: number;
}
const CALL_LIMITS: CallLimits = { all: 1_024, ofOrg: 256, ofCredential: 64 };

/** Whose call it is. */
interface Asked {
  org: string;
  credential: string;
  /** Of the credential's policy. */
  concurrency: number | undefined;
  rule: Rule;
}

/** What organizations, credentials and rules may do at once and in a minute. */
export class UseLimits {
  readonly #limits: CallLimits;
  readonly #inHand = new Map<string, number>();
  /** Units of a millisecond: a request of a rule for N a minute pays a minute's Nth part. */
  readonly #rates = new KeyedGcra({ perSecond: 1_000, burst: MINUTE_MS }, MOST_KEYS);

  constructor(limits: CallLimits = CALL_LIMITS) {
    this.#limits = limits;
  }

  /**
   * Takes a place for a call until the returned function is called, and counts it by its rule's rate. Throws UseFailure
   * `rate_limited`, with the seconds after which to try again. `now` is milliseconds of a monotonic clock.
   */
  take({ org, credential, concurrency, rule }: Asked, now: number): () => void {
    const places: [name: string, most: number, whose: string][] = [
      ["", this.#limits.all, "the broker"],
      [org, this.#limits.ofOrg, "the organization"],
      [`${org}/${credential}`, concurrency ?? this.#limits.ofCredential, "the credential"],
    ];
    const full = places.find(([name, most]) => this.#count(name) >= most);
    if (full) throw limited(`${full[2]} has as many requests in hand as it may have`, 1);
    if (rule.rate) {
      const [key, units] = [`${org}/${credential}/${rule.id}`, MINUTE_MS / rule.rate.perMinute];
      const wait = this.#rates.wait(key, now, units);
      if (wait > 0) throw limited("the rule's rate is used up", Math.ceil(wait / 1000));
      this.#rates.count(key, now, units);
    }
    for (const [name] of places) this.#inHand.set(name, this.#count(name) + 1);
    let isTaken = true;
    return () => {
      if (!isTaken) return;
      isTaken = false;
      for (const [name] of places) {
        const left = this.#count(name) - 1;
        if (left > 0) this.#inHand.set(name, left);
        else this.#inHand.delete(name);
      }
    };
  }

  /** Calls in hand. */
  get size(): number {
    return this.#count("");
  }

  #count(name: string): number {
    return this.#inHand.get(name) ?? 0;
  }
}

const limited = (detail: string, retryAfterSeconds: number) =>
  new UseFailure("rate_limited", detail, { retryAfterSeconds });

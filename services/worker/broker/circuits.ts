import { UseFailure } from "./use-failure.ts";

/** Consecutive failures to connect that open a circuit. */
const OPENS_AFTER = 5;
const FIRST_WAIT_MS = 2_000;
const LONGEST_WAIT_MS = 60_000;
const MOST_CIRCUITS = 10_000;

interface Circuit {
  failures: number;
  /** When the next trial may be made, by a monotonic clock. */
  trialAt: number;
  waitMs: number;
}

/**
 * Circuit breakers of organizations' destinations: after repeated failures to connect, one trial at a time is made, so that
 * callers get an error at once and hold nothing here. Times are milliseconds of any monotonic clock.
 */
export class Circuits {
  readonly #failing = new Map<string, Circuit>();

  /** Throws UseFailure `circuit_open`. Whoever passes while the circuit is open makes the trial. */
  check(org: string, origin: string, now: number): void {
    const circuit = this.#failing.get(nameOf(org, origin));
    if (!circuit || circuit.failures < OPENS_AFTER) return;
    if (now < circuit.trialAt) {
      throw new UseFailure("circuit_open", "the destination could not be reached several times in a row", {
        retryAfterSeconds: Math.max(1, Math.ceil((circuit.trialAt - now) / 1000)),
      });
    }
    // Until its trial has failed, nobody else tries.
    circuit.trialAt = now + circuit.waitMs;
  }

  connected(org: string, origin: string): void {
    this.#failing.delete(nameOf(org, origin));
  }

  failed(org: string, origin: string, now: number): void {
    const name = nameOf(org, origin);
    const circuit = this.#failing.get(name) ?? { failures: 0, trialAt: 0, waitMs: FIRST_WAIT_MS / 2 };
    const failures = circuit.failures + 1;
    const waitMs = failures < OPENS_AFTER ? circuit.waitMs : Math.min(2 * circuit.waitMs, LONGEST_WAIT_MS);
    this.#failing.delete(name);
    const [oldest] = this.#failing.keys();
    if (this.#failing.size >= MOST_CIRCUITS && oldest !== undefined) this.#failing.delete(oldest);
    this.#failing.set(name, { failures, waitMs, trialAt: now + waitMs });
  }
}

const nameOf = (org: string, origin: string) => `${org}\n${origin}`;

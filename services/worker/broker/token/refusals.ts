import { UseFailure } from "../use-failure.ts";

const KEPT_MS = 5_000;
const MOST_KEPT = 1_000;

/** What providers have refused a moment ago: each use of a credential would ask again, and a provider may lock a client. */
export class Refusals {
  readonly #kept = new Map<string, { refusal: UseFailure; until: number }>();

  /** Throws the provider's refusal if it is a few seconds old at most. */
  check(key: string, now: number): void {
    const found = this.#kept.get(key);
    if (!found) return;
    if (found.until > now) throw found.refusal;
    this.#kept.delete(key);
  }

  /** Remembers an error if it is a provider's refusal. */
  keep(key: string, error: unknown, now: number): void {
    if (!(error instanceof UseFailure) || error.failure !== "provider_refused") return;
    const [oldest] = this.#kept.keys();
    if (this.#kept.size >= MOST_KEPT && oldest !== undefined) this.#kept.delete(oldest);
    this.#kept.set(key, { refusal: error, until: now + KEPT_MS });
  }
}

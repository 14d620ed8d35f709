/** A sustained rate, and the burst allowed on top of it. */
export interface Rate {
  perSecond: number;
  burst: number;
}

/**
 * A rate limiter by key (GCRA, the generic cell rate algorithm): one number a key, the time at which all counted units
 * will be paid off at the rate. Times are milliseconds of any monotonic clock.
 */
export class KeyedGcra {
  readonly #dueAt = new Map<string, number>();
  readonly #intervalMs: number;
  readonly #burstMs: number;
  readonly #maxKeys: number;

  /** Beyond `maxKeys`, the oldest key is dropped. */
  constructor({ perSecond, burst }: Rate, maxKeys: number) {
    this.#intervalMs = 1_000 / perSecond;
    this.#burstMs = burst * this.#intervalMs;
    this.#maxKeys = maxKeys;
  }

  /** Milliseconds until so many more units are within the limit; 0 if they are now. */
  wait(key: string, now: number, units = 1): number {
    const dueAt = this.#dueAt.get(key);
    if (dueAt === undefined) return 0;
    return Math.max(0, dueAt + units * this.#intervalMs - this.#burstMs - now);
  }

  /** The units to pay off before one more is within the limit. */
  debt(key: string, now: number): number {
    return this.wait(key, now) / this.#intervalMs;
  }

  /** Counts units, even beyond the limit: the whole debt then has to be paid off. */
  count(key: string, now: number, units = 1): void {
    const dueAt = Math.max(this.#dueAt.get(key) ?? now, now) + units * this.#intervalMs;
    if (this.#dueAt.size >= this.#maxKeys && !this.#dueAt.has(key)) {
      const [oldest] = this.#dueAt.keys();
      if (oldest !== undefined) this.#dueAt.delete(oldest);
    }
    this.#dueAt.set(key, dueAt);
  }

  /** How many keys are known. */
  get size(): number {
    return this.#dueAt.size;
  }
}

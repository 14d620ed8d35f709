/** So many a second on the long run, and so many at once. */
export interface Rate {
  perSecond: number;
  burst: number;
}

/**
 * Counts by key, in one number a key: when all that was counted will have been paid off at the rate (GCRA, the
 * generic cell rate algorithm). Times are milliseconds of any steady clock.
 */
export class KeyedGcra {
  readonly #dueAt = new Map<string, number>();
  readonly #intervalMs: number;
  readonly #burstMs: number;
  readonly #maxKeys: number;

  /** Beyond `maxKeys` the key known for longest is forgotten. */
  constructor({ perSecond, burst }: Rate, maxKeys: number) {
    this.#intervalMs = 1_000 / perSecond;
    this.#burstMs = burst * this.#intervalMs;
    this.#maxKeys = maxKeys;
  }

  /** Milliseconds until one more is within the limit; 0 where it is now. */
  wait(key: string, now: number): number {
    const dueAt = this.#dueAt.get(key);
    if (dueAt === undefined) return 0;
    return Math.max(0, dueAt + this.#intervalMs - this.#burstMs - now);
  }

  /** The units that have to be paid off until one more is within the limit. */
  debt(key: string, now: number): number {
    return this.wait(key, now) / this.#intervalMs;
  }

  /** Counts so many, also where they are more than there is room for: all of it has to be paid off then. */
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

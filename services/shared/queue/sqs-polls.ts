/**
 * How many consumers of a queue wait for a message at once: all of them while messages arrive, one while none do,
 * because each long poll is a call that AWS charges for.
 */
export class Polls {
  readonly #most: number;
  #allowed = 1;
  #polling = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  /** Runs a poll when it is its turn. `isEmpty` tells of a poll's answer that it had no message. */
  async run<T>(poll: () => Promise<T>, isEmpty: (answer: T) => boolean): Promise<T> {
    while (this.#polling >= this.#allowed) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#polling++;
    let hasFound = false;
    try {
      const answer = await poll();
      hasFound = !isEmpty(answer);
      return answer;
    } finally {
      this.#allowed = hasFound ? this.#most : 1;
      this.#polling--;
      for (const resolve of this.#waiting.splice(0, Math.max(0, this.#allowed - this.#polling))) resolve();
    }
  }
}

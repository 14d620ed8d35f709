import { setTimeout as sleep } from "node:timers/promises";
import { JobFailure } from "../job-failure.ts";

/** Milliseconds between the end of a request and the next one to the same host. */
const GAP_MS = 1_000;
/** Fetches that wait for their turn at one host; each holds one of the worker's places. */
const MAX_WAITING = 4;
/** The longest time that a host's `Retry-After` is honoured. */
const MAX_RETRY_AFTER_MS = 3_600_000;
const MAX_HOSTS = 10_000;

interface Host {
  /** Resolves after the last request that has been let in, and its gap. */
  turn: Promise<void>;
  waiting: number;
  /** Milliseconds since 1970. */
  notBefore: number;
}

/** One request at a time to one host, and a gap between two. In memory: each worker is polite for itself. */
export class Politeness {
  readonly #hosts = new Map<string, Host>();
  readonly #gapMs: number;
  readonly #now: () => number;

  constructor({ gapMs = GAP_MS, now = Date.now }: { gapMs?: number; now?: () => number } = {}) {
    this.#gapMs = gapMs;
    this.#now = now;
  }

  /** Runs `request` when it is the host's turn. Throws JobFailure `unreachable` if that is not soon. */
  async take<T>(name: string, signal: AbortSignal, request: () => Promise<T>): Promise<T> {
    const host = this.#host(name);
    this.#checkPause(host);
    if (host.waiting >= MAX_WAITING) {
      throw new JobFailure("unreachable", "too many feeds of this host are due at once");
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    const before = host.turn;
    host.turn = before.then(() => promise);
    host.waiting++;
    try {
      await before;
      signal.throwIfAborted();
      // A request before this one may have been answered with `Retry-After`.
      this.#checkPause(host);
      return await request();
    } finally {
      host.waiting--;
      // A worker that ends does not wait for the gap.
      sleep(this.#gapMs, undefined, { ref: false }).then(resolve, resolve);
    }
  }

  /** The host asked for a pause, in seconds. Returns how many of them are honoured. */
  pause(name: string, seconds: number): number {
    const ms = Math.min(MAX_RETRY_AFTER_MS, seconds * 1000);
    this.#host(name).notBefore = this.#now() + ms;
    return Math.ceil(ms / 1000);
  }

  #checkPause({ notBefore }: Host): void {
    const waitMs = notBefore - this.#now();
    if (waitMs <= 0) return;
    const detail = `the host asks for no requests for ${Math.ceil(waitMs / 1000)} s`;
    throw new JobFailure("unreachable", detail, { isFinal: true });
  }

  #host(name: string): Host {
    const known = this.#hosts.get(name);
    const host = known ?? { turn: Promise.resolve(), waiting: 0, notBefore: 0 };
    // The least recently used one comes first.
    this.#hosts.delete(name);
    this.#hosts.set(name, host);
    if (this.#hosts.size > MAX_HOSTS) this.#forgetOne();
    return host;
  }

  #forgetOne(): void {
    for (const [name, { waiting, notBefore }] of this.#hosts) {
      if (waiting > 0 || notBefore > this.#now()) continue;
      this.#hosts.delete(name);
      return;
    }
  }
}

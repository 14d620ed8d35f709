import { isTimeout } from "./server-error.ts";

/** So many requests in a row must end without an answer in time. */
const OPENS_AFTER = 5;
/** While open, one request in this time is let through to see whether there are answers again. */
const PROBE_EVERY_MS = 1_000;

/**
 * Whether an organization's Vault is worth asking. One that lets requests run into their timeouts is left
 * alone but for a probe a second, so that its callers are told at once and hold nothing here. A Vault that
 * refuses connections or hangs up costs no time, so it opens no circuit, and serves the moment it is back.
 * Times are milliseconds of any steady clock.
 */
export class Circuit {
  #timeouts = 0;
  #probeAt = 0;

  /** Whether a request may be sent; an open circuit lets a probe through by this. */
  admits(now: number): boolean {
    if (this.#timeouts < OPENS_AFTER) return true;
    if (now < this.#probeAt) return false;
    this.#probeAt = now + PROBE_EVERY_MS;
    return true;
  }

  get open(): boolean {
    return this.#timeouts >= OPENS_AFTER;
  }

  /** An answer has begun, whatever it says. */
  answered(): void {
    this.#timeouts = 0;
  }

  failed(error: unknown, now: number): void {
    if (!isTimeout(error)) return;
    this.#timeouts++;
    this.#probeAt = now + PROBE_EVERY_MS;
  }
}

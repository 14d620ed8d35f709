import { isTimeout } from "./server-error.ts";

/** Consecutive timeouts that open the circuit. */
const OPENS_AFTER = 5;
/** While open, one request in this time is let through as a probe. */
const PROBE_EVERY_MS = 1_000;

/**
 * A circuit breaker for an organization's Vault. After repeated timeouts, only one probe a second is sent, so that
 * callers get an error at once and hold nothing here. A Vault that refuses or drops connections fails fast, so it does
 * not open the circuit, and is served again the moment it is back. Times are milliseconds of any monotonic clock.
 */
export class Circuit {
  #timeouts = 0;
  #probeAt = 0;

  /** Whether a request may be sent; for an open circuit, true makes that request the probe. */
  admits(now: number): boolean {
    if (this.#timeouts < OPENS_AFTER) return true;
    if (now < this.#probeAt) return false;
    this.#probeAt = now + PROBE_EVERY_MS;
    return true;
  }

  get open(): boolean {
    return this.#timeouts >= OPENS_AFTER;
  }

  /** A response has begun, whatever its status. */
  answered(): void {
    this.#timeouts = 0;
  }

  failed(error: unknown, now: number): void {
    if (!isTimeout(error)) return;
    this.#timeouts++;
    this.#probeAt = now + PROBE_EVERY_MS;
  }
}

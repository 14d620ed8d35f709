import { setTimeout as sleep } from "node:timers/promises";
import { StrongroomError } from "../shared/errors.ts";
import { type Rate, RateLimit } from "./rate-limit.ts";

/** How much the gateway does for whom; what is undefined has no limit. */
export interface LimitRates {
  /** Units of one address whose requests end without a caller known. */
  address?: Rate | undefined;
  /** Units of one organization's members. */
  org?: Rate | undefined;
}

/** 429, with the seconds after which to try again. */
export class TooManyRequests extends StrongroomError {
  override name = "TooManyRequests";
  readonly retryAfterSeconds: number;

  constructor(of: "address" | "org" | "uploads", waitMs: number) {
    super("too_many_requests", "Too many requests: try again later.", { cause: of });
    this.retryAfterSeconds = Math.ceil(waitMs / 1000);
  }
}

/** Whether a request failed by what it was, not by what goes on here. */
export const isCallersFault = (error: unknown): boolean =>
  error instanceof StrongroomError && error.status < 500 && !(error instanceof TooManyRequests);

/** A refusal is held back for about so long: who asks in a loop does not keep the gateway busy with refusing. */
const HELD_MS = 500;
/** No more than this many at once; beyond it they are told at once. */
const MAX_HELD = 10_000;
/** Who owes more units has not only failed, but sent what costs far more than a request. */
const BARRED_UNITS = 200;
const MAX_ADDRESSES = 100_000;
const MAX_ORGS = 10_000;

/**
 * The limits of callers. An address pays only for requests that come to nothing, since many callers may share
 * one; an organization for each of its own. Both pay by what a request costs (cost.ts).
 */
export class Limits {
  readonly #addresses: RateLimit | undefined;
  readonly #orgs: RateLimit | undefined;
  #held = 0;

  constructor({ address, org }: LimitRates) {
    this.#addresses = address && new RateLimit(address, MAX_ADDRESSES);
    this.#orgs = org && new RateLimit(org, MAX_ORGS);
  }

  /** Milliseconds until an address may ask for a verification again; 0 where it may now. */
  addressWait(address: string | undefined, now: number): number {
    return this.#addresses?.wait(network(address), now) ?? 0;
  }

  /** Whether an address is so deep in debt that not even its connections are taken. */
  isBarred(address: string | undefined, now: number): boolean {
    return (this.#addresses?.debt(network(address), now) ?? 0) > BARRED_UNITS;
  }

  /** Counts a request that came to nothing, by its units (cost.ts). */
  countAddress(address: string | undefined, now: number, units = 1): void {
    this.#addresses?.count(network(address), now, units);
  }

  /**
   * Counts a request of an organization's member, by its units (cost.ts). Returns the milliseconds to wait, and
   * counts nothing, where the organization has none left. A request may be larger than what is left, or no
   * organization with a low limit could send a large one; what it is over has to be paid off before the next.
   */
  orgWait(org: string, now: number, units = 1): number {
    if (!this.#orgs) return 0;
    const wait = this.#orgs.wait(org, now);
    if (wait === 0) this.#orgs.count(org, now, units);
    return wait;
  }

  /** Counts units that were only known when they had been used. */
  chargeOrg(org: string, units: number, now?: number): void {
    if (units > 0) this.#orgs?.count(org, now ?? performance.now(), units);
  }

  /** Takes its time, for a refusal by {@link TooManyRequests} to be sent after. */
  async holdBack(): Promise<void> {
    if (this.#held >= MAX_HELD) return;
    this.#held++;
    // Not all for the same time, or those who were refused together come back together.
    await sleep(HELD_MS * (0.5 + Math.random())).finally(() => this.#held--);
  }
}

/** An IPv4 address, or the /64 network of an IPv6 one, all of whose addresses one caller may have. */
export function network(address = ""): string {
  const v4 = address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
  if (!v4.includes(":")) return v4;
  const [head = ""] = v4.split("::");
  return [...head.split(":"), "0", "0", "0"].slice(0, 4).join(":");
}

import { unitsOfParts } from "../../shared/front/cost.ts";
import { type Limits, TooManyRequests } from "../../shared/front/limits.ts";
import { bodyCheck, checkBody } from "./check-body.ts";
import type { Verb } from "./routes.ts";

/** A body up to this size is checked in one go, in about 0.1 ms. */
const SMALL_BYTES = 16 * 1024;
/** A body with more parts, or more than {@link SMALL_BYTES}, is large: it costs its Vault 5 ms or more. */
const SMALL_PARTS = 64;
/** Large bodies of one organization that may be checked or sent at once, over its 32 connections. */
const AT_ONCE = 4;
/** Large bodies of one organization that may wait for their turn; further ones get a 429. */
const MAX_WAITING = 64;

/** A request's body, and what its check needs to know. */
export interface Body {
  org: string;
  bytes: Buffer;
  contentType: string | undefined;
  verb: Verb;
  /** Whether the caller has disconnected. */
  isGone(): boolean;
}

interface Check {
  slices: Generator<void, number, void>;
  resolve(parts: number): void;
  reject(error: unknown): void;
}

/**
 * Checks bodies, charges their content to their organizations, and bounds how many large ones of each organization
 * proceed at once. Large ones are checked a slice at a time, round-robin, and other work runs between two slices.
 */
export class Bodies {
  readonly #limits: Limits;
  /** By organization: the number of large bodies that proceed, and the queue of those that wait. */
  readonly #orgs = new Map<string, { going: number; waiting: (() => void)[] }>();
  readonly #checks: Check[] = [];

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /**
   * Checks a body, and then calls `send`, which may forward it. Throws as {@link checkBody} and `send` do, and
   * {@link TooManyRequests}.
   */
  async take<T>(body: Body, send: () => Promise<T>): Promise<T> {
    const { org, bytes, contentType, verb } = body;
    const isSmall = bytes.length <= SMALL_BYTES;
    if (isSmall) {
      const parts = checkBody(bytes, contentType, verb);
      this.#charge(org, parts);
      if (parts <= SMALL_PARTS) return send();
    }
    await this.#enter(org);
    try {
      if (body.isGone()) throw new Error("the caller has disconnected");
      if (!isSmall) this.#charge(org, await this.#check(bodyCheck(bytes, contentType, verb)));
      return await send();
    } finally {
      this.#leave(org);
    }
  }

  #charge(org: string, parts: number): void {
    const units = unitsOfParts(parts);
    const wait = units > 0 ? this.#limits.orgWait(org, performance.now(), units) : 0;
    if (wait > 0) throw new TooManyRequests("org", wait);
  }

  async #enter(org: string): Promise<void> {
    const state = this.#orgs.get(org) ?? { going: 0, waiting: [] };
    this.#orgs.set(org, state);
    if (state.going < AT_ONCE) {
      state.going++;
      return;
    }
    if (state.waiting.length >= MAX_WAITING) throw new TooManyRequests("uploads", 1_000);
    await new Promise<void>((resolve) => state.waiting.push(resolve));
  }

  /** Hands its place to the next waiting body. */
  #leave(org: string): void {
    const state = this.#orgs.get(org);
    const next = state?.waiting.shift();
    if (next) next();
    else if (state && --state.going === 0) this.#orgs.delete(org);
  }

  #check(slices: Generator<void, number, void>): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#checks.push({ slices, resolve, reject });
      if (this.#checks.length === 1) setImmediate(this.#checkOneSlice);
    });
  }

  readonly #checkOneSlice = (): void => {
    const [check] = this.#checks;
    if (!check) return;
    try {
      const { done, value } = check.slices.next();
      if (done) check.resolve(value);
      else this.#checks.push(check); // round-robin; fair, since each organization has few checks at once
    } catch (error) {
      check.reject(error);
    }
    this.#checks.shift();
    if (this.#checks.length > 0) setImmediate(this.#checkOneSlice);
  };
}

/** The body to forward for a verb. If the verb requires none, an empty body or `null` counts as none. */
export function bodyOf(body: unknown, verb: Verb): Buffer | undefined {
  if (!verb.body || !Buffer.isBuffer(body)) return undefined;
  const isNone =
    verb.body === "json" &&
    !verb.objects &&
    body.length < 32 &&
    /^\s*(?:null)?\s*$/.test(body.toString("latin1"));
  return isNone ? undefined : body;
}

import { StrongroomError } from "../../shared/errors.ts";

/** How many calls an organization may have in hand at one intake, and one of its credentials. */
export interface CallLimits {
  ofOrg: number;
  ofCredential: number;
}

/** Counts the calls in hand, so that one organization or one slow destination does not take all connections. */
export class CallSlots {
  readonly #limits: CallLimits;
  readonly #counts = new Map<string, number>();

  constructor(limits: CallLimits) {
    this.#limits = limits;
  }

  /** Takes a place until the returned function is called. Throws `too_many_requests`. */
  take(org: string, credential: string): () => void {
    const { ofOrg, ofCredential } = this.#limits;
    const keys = [org, `${org}/${credential}`];
    const full = [ofOrg, ofCredential].findIndex((most, index) => this.#count(keys[index]) >= most);
    if (full >= 0) {
      const whose = full === 0 ? "The organization" : "The credential";
      const most = full === 0 ? ofOrg : ofCredential;
      const detail = `${whose} has ${most} calls in hand, as many as it may have. Wait until some have ended.`;
      throw new StrongroomError("too_many_requests", detail);
    }
    for (const key of keys) this.#counts.set(key, this.#count(key) + 1);
    let isTaken = true;
    return () => {
      if (!isTaken) return;
      isTaken = false;
      for (const key of keys) {
        const left = this.#count(key) - 1;
        if (left > 0) this.#counts.set(key, left);
        else this.#counts.delete(key);
      }
    };
  }

  #count(key = ""): number {
    return this.#counts.get(key) ?? 0;
  }
}

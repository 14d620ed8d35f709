import { StrongroomError } from "../../shared/errors.ts";

/** How many event streams an organization may have open at one intake: each reads its job once a second. */
const MOST_OF_ORG = 100;

/** Counts the event streams that are open. */
export class OpenStreams {
  readonly #open = new Map<string, number>();

  /** Counts one more, until the returned function is called. Throws `too_many_requests`. */
  admit(org: string): () => void {
    const count = this.#open.get(org) ?? 0;
    if (count >= MOST_OF_ORG) {
      throw new StrongroomError("too_many_requests", `The organization follows ${MOST_OF_ORG} jobs already.`);
    }
    this.#open.set(org, count + 1);
    return () => {
      const left = (this.#open.get(org) ?? 1) - 1;
      if (left > 0) this.#open.set(org, left);
      else this.#open.delete(org);
    };
  }
}

import { StrongroomError } from "../../shared/errors.ts";

/** How many event streams an organization may have open at one intake: each reads its job once a second. */
const MOST_JOBS_FOLLOWED = 100;

/** Counts the streams that each organization has open at this intake. */
export class OpenStreams {
  readonly #open = new Map<string, number>();
  readonly #most: number;
  readonly #refusal: string;

  /** `refusal` tells an organization that it has `most` of them. */
  constructor(
    most: number = MOST_JOBS_FOLLOWED,
    refusal: string = `The organization follows ${MOST_JOBS_FOLLOWED} jobs already.`,
  ) {
    this.#most = most;
    this.#refusal = refusal;
  }

  /** Counts one more, until the returned function is called. Throws `too_many_requests`. */
  admit(org: string): () => void {
    const count = this.#open.get(org) ?? 0;
    if (count >= this.#most) throw new StrongroomError("too_many_requests", this.#refusal);
    this.#open.set(org, count + 1);
    return () => {
      const left = (this.#open.get(org) ?? 1) - 1;
      if (left > 0) this.#open.set(org, left);
      else this.#open.delete(org);
    };
  }
}

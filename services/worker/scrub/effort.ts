/** A credential appeared in an answer, or may have, and cannot be removed: what is left of the answer must not pass. */
export class ResponseBlocked extends Error {
  override name = "ResponseBlocked";
}

/** How much searching an answer may cost, so that nobody can make one that is slow to search. */
export class Effort {
  #left: number;

  /** In steps: comparisons of a byte, or of 16 bytes by the processor at once. */
  constructor(steps: number) {
    this.#left = steps;
  }

  add(steps: number): void {
    this.#left += steps;
  }

  /** Throws {@link ResponseBlocked} if nothing is left. */
  spend(steps: number): void {
    this.#left -= steps;
    if (this.#left < 0) throw new ResponseBlocked("the answer is too costly to search for the credential");
  }
}

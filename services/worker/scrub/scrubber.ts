import { Effort } from "./effort.ts";
import { findSecrets, type Range } from "./find.ts";
import { needlesOf } from "./needles.ts";
import { NeedleSearch } from "./search.ts";
import type { Place } from "./views.ts";

/** What stands where a credential was. */
export const REMOVED = "[removed]";
const REMOVED_BYTES = Buffer.from(REMOVED);
const WHOLE: Place = { before: undefined, isLast: true };
/** A text that is whole is small; how large, its caller bounds. */
const ANY_EFFORT = new Effort(Number.POSITIVE_INFINITY);

/**
 * Removes secrets from an answer, in every form of `needlesOf` and as every decoder of `escapes.ts` reads it. It is a
 * safety net for services that echo what they were sent: a service that wants to return the credential can always
 * disguise it.
 */
export class Scrubber {
  #search: NeedleSearch;
  #hits = 0;

  /** The secrets' bytes are copied, and zeroed by {@link forget}. */
  constructor(secrets: Iterable<Uint8Array>) {
    this.#search = new NeedleSearch(needlesOf(secrets));
  }

  /** How often a secret was found and removed. */
  get hits(): number {
    return this.#hits;
  }

  /** The text without the secrets. It must be whole: a secret across the border of two texts is found in neither. */
  scrub(text: Buffer): Buffer {
    return this.scrubPart(text, WHOLE, ANY_EFFORT).clean;
  }

  /** The same for a text whose characters are bytes, as those of header lines are. */
  scrubText(text: string): string {
    return this.scrub(Buffer.from(text, "latin1")).toString("latin1");
  }

  /** Whether a secret is in a text whose characters are bytes. It counts nothing. */
  finds(text: string): boolean {
    return findSecrets(Buffer.from(text, "latin1"), this.#search, WHOLE, ANY_EFFORT).ranges.length > 0;
  }

  /**
   * A part of a text without the secrets, as far as that does not depend on what follows: the `rest` is to be the
   * beginning of the next part. Throws ResponseBlocked if it takes more than this effort.
   */
  scrubPart(text: Buffer, place: Place, effort: Effort): { clean: Buffer; rest: Buffer } {
    const { ranges, decided } = findSecrets(text, this.#search, place, effort);
    const [clean, rest] = [text.subarray(0, decided), text.subarray(decided)];
    if (ranges.length === 0) return { clean, rest };
    this.#hits += ranges.length;
    return { clean: without(clean, ranges), rest };
  }

  forget(): void {
    for (const { bytes } of this.#search.needles) bytes.fill(0);
    this.#search = new NeedleSearch([]);
  }
}

function without(text: Buffer, ranges: readonly Range[]): Buffer {
  const kept: Buffer[] = [];
  let at = 0;
  for (const [start, end] of ranges) {
    kept.push(text.subarray(at, start), REMOVED_BYTES);
    at = end;
  }
  return Buffer.concat([...kept, text.subarray(at)]);
}

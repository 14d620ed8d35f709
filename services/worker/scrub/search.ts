import type { Effort } from "./effort.ts";
import type { Needle } from "./needles.ts";

/** Blocks of two bytes are told apart by so many values, so that the table stays in the processor's nearest cache. */
const BLOCKS = 4096;
const blockOf = (first: number, second: number): number => ((first << 4) ^ second) & (BLOCKS - 1);

/** Beyond so many bytes, the processor's own comparison of memory is faster. */
const SHORT = 16;

/**
 * Finds many needles in one pass (Wu and Manber's algorithm): it looks at blocks of two bytes and leaps over as many as
 * no needle allows there, nearly the length of the shortest needle in most texts.
 */
export class NeedleSearch {
  readonly needles: readonly Needle[];
  /** Bytes of the longest needle. */
  readonly longest: number;
  readonly #shortest: number;
  readonly #leaps = new Uint16Array(BLOCKS);
  /** By the block at which a needle's first `#shortest` bytes end. */
  readonly #ending: (Needle[] | undefined)[] = [];
  /** By first byte. */
  readonly #beginning: (Needle[] | undefined)[] = [];

  constructor(needles: readonly Needle[]) {
    const lengths = needles.map(({ bytes }) => bytes.length);
    this.needles = needles;
    this.longest = Math.max(0, ...lengths);
    this.#shortest = Math.min(0xffff, ...lengths);
    this.#leaps.fill(Math.max(1, this.#shortest - 1));
    for (const needle of needles) this.#enter(needle);
  }

  #enter(needle: Needle): void {
    const { bytes } = needle;
    for (const first of spellings(bytes[0] as number, needle)) append(this.#beginning, first, needle);
    for (let end = 1; end < this.#shortest; end++) {
      for (const first of spellings(bytes[end - 1] as number, needle)) {
        for (const second of spellings(bytes[end] as number, needle)) {
          const block = blockOf(first, second);
          const leap = this.#shortest - 1 - end;
          if (leap < (this.#leaps[block] as number)) this.#leaps[block] = leap;
          if (leap === 0) append(this.#ending, block, needle);
        }
      }
    }
  }

  /** Every place at which a needle is in `text`, in ascending order. */
  find(text: Buffer, effort: Effort, visit: (needle: Needle, at: number) => void): void {
    if (this.needles.length === 0) return;
    const [leaps, last] = [this.#leaps, this.#shortest - 1];
    const comparison = new Comparison(text, effort);
    const size = text.length;
    for (let end = last; end < size; ) {
      const block = (((text[end - 1] as number) << 4) ^ (text[end] as number)) & (BLOCKS - 1);
      const leap = leaps[block] as number;
      if (leap > 0) {
        end += leap;
        continue;
      }
      const at = end - last;
      for (const needle of this.#ending[block] ?? []) {
        if (at + needle.bytes.length <= size && comparison.isAt(at, needle, needle.bytes.length)) {
          visit(needle, at);
        }
      }
      end++;
    }
  }

  /** Where the longest end of `text` begins that is the beginning of a needle; the text's length if none is. */
  beginning(text: Buffer, effort: Effort): number {
    const comparison = new Comparison(text, effort);
    const size = text.length;
    for (let at = Math.max(0, size - this.longest + 1); at < size; at++) {
      const needles = this.#beginning[text[at] as number];
      if (!needles) continue;
      const length = size - at;
      for (const needle of needles) {
        if (length < needle.bytes.length && comparison.isAt(at, needle, length)) return at;
      }
    }
    return size;
  }
}

/** Both cases of a letter, if either may stand there. */
const spellings = (byte: number, { anyCase }: Needle): number[] =>
  anyCase && byte >= 0x61 && byte <= 0x7a ? [byte, byte - 32] : [byte];

function append(lists: (Needle[] | undefined)[], at: number, needle: Needle): void {
  const list = lists[at];
  if (!list) lists[at] = [needle];
  else if (list.at(-1) !== needle) list.push(needle);
}

/** Compares needles with places in one text. */
class Comparison {
  readonly #text: Buffer;
  readonly #effort: Effort;
  #lower: Buffer | undefined;

  constructor(text: Buffer, effort: Effort) {
    this.#text = text;
    this.#effort = effort;
  }

  /** Whether the first `length` bytes of a needle are at a place. */
  isAt(at: number, { bytes, anyCase }: Needle, length: number): boolean {
    const text = this.#text;
    const short = Math.min(length, SHORT);
    this.#effort.spend(1);
    for (let index = 0; index < short; index++) {
      const byte = text[at + index] as number;
      if (byte === bytes[index]) continue;
      if (!anyCase || byte < 0x41 || byte > 0x5a || (byte | 32) !== bytes[index]) return false;
    }
    if (length === short) return true;
    this.#effort.spend(length / SHORT);
    if (anyCase && !this.#lower) this.#effort.spend(text.length / SHORT);
    if (anyCase) this.#lower ??= Buffer.from(text.toString("latin1").toLowerCase(), "latin1");
    const long = anyCase && this.#lower ? this.#lower : text;
    return long.compare(bytes, short, length, at + short, at + length) === 0;
  }
}

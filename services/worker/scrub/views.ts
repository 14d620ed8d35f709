import { type Escaping, isBreak, UNFINISHED } from "./escapes.ts";

/** A part of a text as a decoder reads it. It is valid until the next one is made. */
export interface View {
  bytes: Buffer;
  /** Where in the text the byte `at` of the view comes from: from there, inclusive, to there, exclusive. */
  from(at: number): number;
  to(at: number): number;
  /** Where the text may go on that this view is of the end of; undefined if the view does not reach it. */
  end: number | undefined;
}

/** What a text is a part of: the byte before it, and whether nothing follows. */
export interface Place {
  before: number | undefined;
  isLast: boolean;
}

/** Views that are larger are made in memory of their own. */
const KEPT_BYTES = 512 * 1024;
/** The memory of all views, one after the other: each is read before the next is made. */
let scratch = Buffer.alloc(0);
let marks = new Uint32Array(4 * 1024);

/**
 * Decodes a text where it has escapes, with `reach` bytes before and behind each: elsewhere the text stands for itself.
 * Returns where the text ends for this escaping: before an unfinished escape.
 */
export function decode(
  text: Buffer,
  escaping: Escaping,
  reach: number,
  { before, isLast }: Place,
  visit: (view: View) => void,
): number {
  const leads = new Leads(text, escaping.leads);
  let at = 0;
  if (escaping.isOptional && isBreak(before)) while (isBreak(text[at])) at++;
  let view: Making | undefined;
  for (let lead = leads.next(at); lead < text.length; lead = leads.next(at)) {
    const found = escaping.read(text, lead, isLast);
    if (found === undefined || (found !== UNFINISHED && !found.bytes)) {
      at = lead + (found?.length ?? 1);
      continue;
    }
    if (view && lead - view.decoded > 2 * reach) {
      visit(view.ended(view.decoded + reach, undefined));
      view = undefined;
    }
    view ??= new Making(text, Math.max(0, lead - reach));
    if (found === UNFINISHED) {
      visit(view.ended(lead, escaping.isOptional ? text.length : lead));
      return lead;
    }
    view.add(lead, found.bytes as readonly number[], found.length);
    at = lead + found.length;
  }
  if (view) {
    const isAtEnd = text.length - view.decoded <= reach;
    const end = isAtEnd && !isLast ? text.length : undefined;
    visit(view.ended(isAtEnd ? text.length : view.decoded + reach, end));
  }
  return text.length;
}

/** Finds the next of some bytes. */
class Leads {
  readonly #text: Buffer;
  readonly #bytes: readonly number[];
  /** The next of each. */
  readonly #next: number[];

  constructor(text: Buffer, bytes: readonly number[]) {
    this.#text = text;
    this.#bytes = bytes;
    this.#next = bytes.map(() => -1);
  }

  next(at: number): number {
    let first = this.#text.length;
    for (let index = 0; index < this.#bytes.length; index++) {
      if ((this.#next[index] as number) < at)
        this.#next[index] = this.#find(this.#bytes[index] as number, at);
      first = Math.min(first, this.#next[index] as number);
    }
    return first;
  }

  #find(byte: number, at: number): number {
    const text = this.#text;
    // A call of the search in native code costs as much as some steps here.
    const near = Math.min(at + 24, text.length);
    for (let index = at; index < near; index++) if (text[index] === byte) return index;
    const found = text.indexOf(byte, near);
    return found < 0 ? text.length : found;
  }
}

/** A view that is being made. Four numbers mark an escape: where it is in the view and in the text, from and to. */
class Making implements View {
  readonly #text: Buffer;
  readonly #start: number;
  #size = 0;
  #marked = 0;
  /** How far the text is decoded. */
  decoded: number;
  bytes: Buffer;
  end: number | undefined;

  constructor(text: Buffer, start: number) {
    this.#text = text;
    this.#start = start;
    this.decoded = start;
    // No escape stands for more bytes than it has.
    if (text.length > KEPT_BYTES) this.bytes = Buffer.allocUnsafe(text.length);
    else if (text.length > scratch.length) this.bytes = scratch = Buffer.alloc(powerOfTwo(text.length));
    else this.bytes = scratch;
  }

  add(at: number, bytes: readonly number[], length: number): void {
    this.#copy(at);
    if (this.#marked + 4 > marks.length) {
      const more = new Uint32Array(2 * marks.length);
      more.set(marks);
      marks = more;
    }
    marks[this.#marked++] = this.#size;
    for (let index = 0; index < bytes.length; index++) this.bytes[this.#size++] = bytes[index] as number;
    marks[this.#marked++] = this.#size;
    marks[this.#marked++] = at;
    this.decoded = at + length;
    marks[this.#marked++] = this.decoded;
  }

  ended(at: number, end: number | undefined): View {
    this.#copy(Math.min(at, this.#text.length));
    this.end = end;
    this.bytes = this.bytes.subarray(0, this.#size);
    return this;
  }

  from = (at: number): number => this.#place(at, 0);
  to = (at: number): number => this.#place(at, 1);

  /** Where the text has a byte of the view: where it begins (0) or ends (1). */
  #place(at: number, side: 0 | 1): number {
    let [low, high] = [0, this.#marked / 4];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((marks[middle * 4] as number) <= at) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return this.#start + at + side;
    const mark = (low - 1) * 4;
    const escapeEnd = marks[mark + 1] as number;
    if (at < escapeEnd) return marks[mark + 2 + side] as number;
    return (marks[mark + 3] as number) + (at - escapeEnd) + side;
  }

  /** What is not escaped, up to there. */
  #copy(to: number): void {
    const length = to - this.decoded;
    if (length <= 0) return;
    if (length > 32) this.#text.copy(this.bytes, this.#size, this.decoded, to);
    else {
      let into = this.#size;
      for (let at = this.decoded; at < to; at++) this.bytes[into++] = this.#text[at] as number;
    }
    this.#size += length;
    this.decoded = to;
  }
}

const powerOfTwo = (least: number): number => 2 ** Math.ceil(Math.log2(least));

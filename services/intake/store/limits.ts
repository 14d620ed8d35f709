import type { Key, Range, Write } from "./store.ts";

/** DynamoDB's limits for keys, in bytes. */
const LONGEST_PARTITION = 2_048;
const LONGEST_SORT = 1_024;
/** DynamoDB's limit for an item is 400 KiB, its keys and attributes included. */
const LONGEST_BODY = 380 * 1024;
const MOST_WRITES = 10;
const MOST_ITEMS = 1_000;
const DEFAULT_ITEMS = 100;

/** The JSON of a body. Throws a RangeError if it is too long, or not JSON. */
export function bodyText(body: unknown): string {
  const text: string | undefined = JSON.stringify(body);
  if (text === undefined) throw new RangeError("an item's body must be JSON");
  if (Buffer.byteLength(text) > LONGEST_BODY) throw new RangeError("an item's body has more than 380 KiB");
  return text;
}

/** Throws a RangeError if DynamoDB would refuse the key. */
export function checkKey({ partition, sort }: Key): void {
  checkText("partition", partition, LONGEST_PARTITION);
  checkText("sort key", sort, LONGEST_SORT);
}

/** Throws a RangeError unless these are 1 to 10 writes, each of another item. */
export function checkWrites(writes: Write[]): void {
  if (writes.length < 1 || writes.length > MOST_WRITES) {
    throw new RangeError(`a write has 1 to ${MOST_WRITES} items, not ${writes.length}`);
  }
  for (const write of writes) {
    checkKey(write);
    const expiresAt = "remove" in write ? undefined : write.expiresAt;
    if (expiresAt !== undefined && !Number.isSafeInteger(expiresAt)) {
      throw new RangeError("an item expires at a whole second");
    }
  }
  const keys = new Set(writes.map(({ partition, sort }) => JSON.stringify([partition, sort])));
  if (keys.size < writes.length) throw new RangeError("a write has the same item twice");
}

function checkText(name: string, text: string, longest: number): void {
  const bytes = Buffer.byteLength(text);
  if (bytes < 1 || bytes > longest) throw new RangeError(`a ${name} has 1 to ${longest} bytes, not ${bytes}`);
  // A lone surrogate has no UTF-8: it would be stored as another character.
  if (!text.isWellFormed()) throw new RangeError(`a ${name} must be well-formed Unicode`);
}

/** A range as inclusive bounds, with at most {@link BOUNDARY_KEYS} keys too many. */
export interface Bounds {
  from: string | undefined;
  to: string | undefined;
  limit: number;
  descending: boolean;
  /** Whether a key within the bounds is in the range. */
  includes(sort: string): boolean;
}

/** How many keys within a range's bounds may not be in the range: `after`, and the end of the prefix. */
export const BOUNDARY_KEYS = 2;

/** A range's bounds; undefined if no key can be in it. */
export function boundsOf(range: Range = {}): Bounds | undefined {
  const { prefix = "", after, upTo, limit = DEFAULT_ITEMS, descending = false } = range;
  const [firstAfter, lastAfter] = descending ? [undefined, after] : [after, undefined];
  const from = present([prefix, firstAfter]).at(-1);
  const to = present([endOf(prefix), lastAfter, upTo]).at(0);
  if (from !== undefined && to !== undefined && compareUtf8(from, to) > 0) return undefined;
  return {
    from,
    to,
    limit: Math.min(Math.max(1, limit), MOST_ITEMS),
    descending,
    includes: (sort) => sort !== after && sort.startsWith(prefix),
  };
}

/** Order of SQLite's and DynamoDB's sort keys. JavaScript's own order is another one beyond U+FFFF. */
export const compareUtf8 = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** Those that are there, in order. */
const present = (keys: (string | undefined)[]): string[] =>
  keys.filter((key): key is string => key !== undefined && key !== "").sort(compareUtf8);

/** The least text that is greater than all that begin with the prefix; undefined if there is none. */
function endOf(prefix: string): string | undefined {
  const points = [...prefix].map((character) => character.codePointAt(0) ?? 0);
  while (points.at(-1) === 0x10ffff) points.pop();
  const last = points.pop();
  if (last === undefined) return undefined;
  // The code points of surrogates are no characters.
  return String.fromCodePoint(...points, last === 0xd7ff ? 0xe000 : last + 1);
}

/** An escape in a text: its length, and the bytes that it stands for; without them it stands for itself. */
export interface Escape {
  bytes?: readonly number[];
  length: number;
}

/** The text ends where an escape may have begun. */
export const UNFINISHED = "unfinished";

/** A way to write bytes as other bytes. What is no escape stands for itself, so texts are found that are escaped in part. */
export interface Escaping {
  /** The bytes at which an escape begins. No other escaping's escapes contain them. */
  leads: readonly number[];
  /** What begins at a lead. `isLast`: the text is whole, so nothing is unfinished. */
  read(text: Buffer, at: number, isLast: boolean): Escape | undefined | typeof UNFINISHED;
  /** An unfinished escape need not be held: how it is read does not matter unless a needle goes on over it. */
  isOptional?: true;
}

const code = (character: string): number => character.charCodeAt(0);
const [PERCENT, PLUS, SPACE, BACKSLASH, AMPERSAND, CR, LF] = ["%", "+", " ", "\\", "&", "\r", "\n"].map(
  code,
) as [number, number, number, number, number, number, number];
const [LETTER_U, LETTER_X] = [code("u"), code("x")];

const HEX = Int8Array.from({ length: 256 }, (_, byte) => {
  const value = Number.parseInt(String.fromCharCode(byte), 16);
  return Number.isNaN(value) ? -1 : value;
});

/** The value of some digits; undefined if one of them is none, {@link UNFINISHED} if the text ends among them. */
function hexAt(text: Buffer, at: number, digits: number, isLast: boolean): number | undefined | "unfinished" {
  let value = 0;
  for (let index = at; index < at + digits; index++) {
    if (index >= text.length) return isLast ? undefined : UNFINISHED;
    const digit = HEX[text[index] as number] as number;
    if (digit < 0) return undefined;
    value = value * 16 + digit;
  }
  return value;
}

const single = (length: number) =>
  Array.from({ length: 256 }, (_, byte): Escape => ({ bytes: [byte], length }));
const [PERCENTED, X_ESCAPED, U_ESCAPED] = [single(3), single(4), single(6).slice(0, 128)];

/** `%41` */
export const percent: Escaping = {
  leads: [PERCENT],
  read(text, at, isLast) {
    const value = hexAt(text, at + 1, 2, isLast);
    return typeof value === "number" ? PERCENTED[value] : value;
  },
};

const SPACED: Escape = { bytes: [SPACE], length: 1 };
/** As forms are encoded: `%41`, and `+` for a space. */
export const form: Escaping = {
  leads: [PERCENT, PLUS],
  read: (text, at, isLast) => (text[at] === PLUS ? SPACED : percent.read(text, at, isLast)),
};

const SHORT_ESCAPES = new Map(
  [..."\"\\/'"]
    .map((character): [number, number] => [code(character), code(character)])
    .concat([
      [code("b"), 8],
      [code("f"), 12],
      [code("n"), LF],
      [code("r"), CR],
      [code("t"), 9],
    ])
    .map(([letter, byte]): [number, Escape] => [letter, { bytes: [byte], length: 2 }]),
);

/** As in JSON and JavaScript: `\"`, `\n`, `\u0041`, `\x41`. */
export const backslash: Escaping = {
  leads: [BACKSLASH],
  read(text, at, isLast) {
    const next = text[at + 1];
    if (next === undefined) return isLast ? undefined : UNFINISHED;
    if (next === LETTER_U) return unicode(text, at, isLast);
    if (next !== LETTER_X) return SHORT_ESCAPES.get(next);
    const value = hexAt(text, at + 2, 2, isLast);
    return typeof value === "number" ? X_ESCAPED[value] : value;
  },
};

function unicode(text: Buffer, at: number, isLast: boolean): ReturnType<Escaping["read"]> {
  const first = hexAt(text, at + 2, 4, isLast);
  if (typeof first !== "number") return first;
  if (first < 128) return U_ESCAPED[first];
  const second = first >= 0xd800 && first < 0xdc00 ? lowHalf(text, at + 6, isLast) : undefined;
  if (second === UNFINISHED) return UNFINISHED;
  return second === undefined
    ? { bytes: utf8(first), length: 6 }
    : { bytes: utf8((first - 0xd800) * 0x400 + (second - 0xdc00) + 0x10000), length: 12 };
}

function lowHalf(text: Buffer, at: number, isLast: boolean): ReturnType<typeof hexAt> {
  for (const [index, expected] of [BACKSLASH, LETTER_U].entries()) {
    if (at + index >= text.length) return isLast ? undefined : UNFINISHED;
    if (text[at + index] !== expected) return undefined;
  }
  const value = hexAt(text, at + 2, 4, isLast);
  return typeof value !== "number" || (value >= 0xdc00 && value < 0xe000) ? value : undefined;
}

const utf8 = (point: number): number[] =>
  point < 128 ? [point] : [...Buffer.from(String.fromCodePoint(point), "utf8")];

const NAMED = new Map(
  Object.entries({
    ...{ amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", num: "#", percnt: "%", plus: "+", sol: "/" },
    ...{ equals: "=", colon: ":", semi: ";", comma: ",", period: ".", lowbar: "_", bsol: "\\", grave: "`" },
    ...{ excl: "!", dollar: "$", ast: "*", lpar: "(", rpar: ")", quest: "?", commat: "@", lsqb: "[" },
    ...{ rsqb: "]", Hat: "^", lbrace: "{", rbrace: "}", lcub: "{", rcub: "}", verbar: "|", vert: "|" },
    ...{ Tab: "\t", NewLine: "\n", lbrack: "[", rbrack: "]", midast: "*", UnderBar: "_" },
  }).map(([name, character]): [string, number] => [name, code(character)]),
);
const LONGEST_ENTITY = 12;
const ENTITY = /^&(?:#[xX]([0-9a-fA-F]{1,8})|#([0-9]{1,8})|([A-Za-z]{2,10}));/;
const ENTITY_BEGUN = /^&(?:#(?:[xX][0-9a-fA-F]{0,8}|[0-9]{0,8})|[A-Za-z]{0,10})$/;

/** As in HTML and XML: `&amp;`, `&#65;`, `&#x41;`. */
export const entity: Escaping = {
  leads: [AMPERSAND],
  read(text, at, isLast) {
    const begun = text.toString("latin1", at, at + LONGEST_ENTITY);
    const [whole = "", hex, decimal, name] = ENTITY.exec(begun) ?? [];
    if (whole === "") return !isLast && ENTITY_BEGUN.test(begun) ? UNFINISHED : undefined;
    if (name !== undefined) {
      const value = NAMED.get(name);
      return value === undefined ? undefined : { bytes: [value], length: whole.length };
    }
    const point = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
    return point > 0x10ffff ? undefined : { bytes: utf8(point), length: whole.length };
  },
};

const BREAKS: readonly Escape[] = [1, 2].map((length) => ({ bytes: [], length }));
/**
 * As in MIME: base64 in lines. Empty lines stand for themselves: such text has none, and a stream of events, which ends each with
 * one, need not wait for the next.
 */
export const lineBreak: Escaping = {
  leads: [CR, LF],
  isOptional: true,
  read(text, at, isLast) {
    let end = at;
    while (text[end] === CR || text[end] === LF) end++;
    const isOne = end - at === 1 || (end - at === 2 && text[at] === CR && text[at + 1] === LF);
    if (!isOne) return { length: end - at };
    return end === text.length && !isLast ? UNFINISHED : BREAKS[end - at - 1];
  },
};

/** Whether a byte is of a line break. */
export const isBreak = (byte: number | undefined): boolean => byte === CR || byte === LF;

/** The longest escape whose middle another text could begin in; and so how far back one is looked for. */
const LONGEST_ESCAPE = 12;

/**
 * Where an escape begins, not before `from`, that `at` may lie within; or `at`. It may be none for who reads from further
 * before, such as the second of two backslashes; then it lies within another.
 */
export function escapeAround(text: Buffer, at: number, from = 0): number {
  for (let start = at - 1; start >= from && start > at - LONGEST_ESCAPE; start--) {
    const escaping = AROUND.get(text[start] as number);
    const found = escaping?.read(text, start, false);
    if (found === UNFINISHED || (found && start + found.length > at)) return start;
  }
  return at;
}
const AROUND = new Map([percent, backslash, entity].map((each) => [each.leads[0] as number, each]));

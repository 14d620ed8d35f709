/**
 * A text as a decoder reads it: `bytes[i]` comes from the original's bytes from `from[i]`, inclusive, to `to[i]`,
 * exclusive. `origin` is undefined if the text stands for itself.
 */
export interface View {
  bytes: Buffer;
  origin?: { from: Uint32Array; to: Uint32Array };
}

/** Reads the escape at `at`: the bytes that it stands for, and how long it is; undefined if there is none. */
type ReadEscape = (text: Buffer, at: number) => { bytes: readonly number[]; length: number } | undefined;

/**
 * All views of a text in which a secret is searched for. Each decoder takes the characters that it has no escape for
 * as they are, so a text of which only some characters are escaped is found as well.
 */
export function viewsOf(text: Buffer): View[] {
  const views: View[] = [{ bytes: text }];
  if (text.includes("%")) {
    views.push(decoded(text, percent));
    if (text.includes("+")) views.push(decoded(text, form));
  } else if (text.includes("+")) views.push(decoded(text, form));
  if (text.includes("\\")) views.push(decoded(text, backslash));
  if (text.includes("&")) views.push(decoded(text, entity));
  if (text.includes("\n") || text.includes("\r")) views.push(decoded(text, lineBreak));
  return views;
}

function decoded(text: Buffer, read: ReadEscape): View {
  // No escape stands for more bytes than it has.
  const bytes = Buffer.allocUnsafe(text.length);
  const from = new Uint32Array(text.length);
  const to = new Uint32Array(text.length);
  let size = 0;
  const add = (byte: number, start: number, end: number) => {
    from[size] = start;
    to[size] = end;
    bytes[size++] = byte;
  };
  for (let at = 0; at < text.length; ) {
    const found = read(text, at);
    const end = at + (found?.length ?? 1);
    if (!found) add(text[at] as number, at, end);
    else for (const byte of found.bytes) add(byte, at, end);
    at = end;
  }
  return { bytes: bytes.subarray(0, size), origin: { from, to } };
}

const code = (character: string): number => character.charCodeAt(0);
const [PERCENT, PLUS, SPACE, BACKSLASH, AMPERSAND] = ["%", "+", " ", "\\", "&"].map(code);
const [CR, LF] = [13, 10];

const hexAt = (text: Buffer, at: number, digits: number): number | undefined => {
  let value = 0;
  for (let index = at; index < at + digits; index++) {
    const digit = HEX[text[index] ?? 0] as number;
    if (digit < 0) return undefined;
    value = value * 16 + digit;
  }
  return value;
};
const HEX = Int8Array.from({ length: 256 }, (_, byte) => {
  const value = Number.parseInt(String.fromCharCode(byte), 16);
  return Number.isNaN(value) ? -1 : value;
});

/** `%41` */
const percent: ReadEscape = (text, at) => {
  if (text[at] !== PERCENT) return undefined;
  const value = hexAt(text, at + 1, 2);
  return value === undefined ? undefined : { bytes: [value], length: 3 };
};

/** As forms are encoded: `%41`, and `+` for a space. */
const form: ReadEscape = (text, at) =>
  text[at] === PLUS ? { bytes: [SPACE as number], length: 1 } : percent(text, at);

const SHORT_ESCAPES = new Map(
  [..."\"\\/'"]
    .map((character): [number, number] => [code(character), code(character)])
    .concat([
      [code("b"), 8],
      [code("f"), 12],
      [code("n"), LF],
      [code("r"), CR],
      [code("t"), 9],
    ]),
);

/** As in JSON and JavaScript: `\"`, `\n`, `\u0041`, `\x41`. */
const backslash: ReadEscape = (text, at) => {
  if (text[at] !== BACKSLASH) return undefined;
  const next = text[at + 1] ?? 0;
  const short = SHORT_ESCAPES.get(next);
  if (short !== undefined) return { bytes: [short], length: 2 };
  if (next === code("x")) {
    const value = hexAt(text, at + 2, 2);
    return value === undefined ? undefined : { bytes: [value], length: 4 };
  }
  return next === code("u") ? unicode(text, at) : undefined;
};

function unicode(text: Buffer, at: number): ReturnType<ReadEscape> {
  const first = hexAt(text, at + 2, 4);
  if (first === undefined) return undefined;
  const isPair =
    first >= 0xd800 && first < 0xdc00 && text[at + 6] === BACKSLASH && text[at + 7] === code("u");
  const second = isPair ? hexAt(text, at + 8, 4) : undefined;
  return second !== undefined && second >= 0xdc00 && second < 0xe000
    ? { bytes: utf8((first - 0xd800) * 0x400 + (second - 0xdc00) + 0x10000), length: 12 }
    : { bytes: utf8(first), length: 6 };
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
const LONGEST_ENTITY = 14;

/** As in HTML and XML: `&amp;`, `&#65;`, `&#x41;`. */
const entity: ReadEscape = (text, at) => {
  if (text[at] !== AMPERSAND) return undefined;
  const [whole = "", hex, decimal, name] =
    /^&(?:#[xX]([0-9a-fA-F]{1,8})|#([0-9]{1,8})|([A-Za-z]{2,10}));/.exec(
      text.toString("latin1", at, at + LONGEST_ENTITY),
    ) ?? [];
  if (name !== undefined) {
    const value = NAMED.get(name);
    return value === undefined ? undefined : { bytes: [value], length: whole.length };
  }
  if (whole === "") return undefined;
  const point = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
  return point > 0x10ffff ? undefined : { bytes: utf8(point), length: whole.length };
};

/** As in MIME: base64 in lines. */
const lineBreak: ReadEscape = (text, at) =>
  text[at] === CR || text[at] === LF ? { bytes: [], length: 1 } : undefined;

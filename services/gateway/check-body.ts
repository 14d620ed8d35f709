import { isUtf8 } from "node:buffer";
import { StrongroomError } from "../shared/errors.ts";
import type { Verb } from "./routes.ts";

/** Well within Vault's own limits, beyond which it answers 500 rather than 400. */
const MAX_DEPTH = 100;
/**
 * The names and list elements that a body may have in all. A Vault hashes each for its two audit devices, also
 * of a request that it denies, at some 20 µs: so many cost it 0.1 s, as much as the longest secret that it
 * stores does. A batch of a thousand for `transit` fits; a secret in KV has a few dozen.
 */
export const MAX_PARTS = 4_000;
/** V8 hashes no more than 16,383 characters of a text, so longer ones of one length would all collide. */
const MAX_NAME_BYTES = 4_096;
/** The longest double in full, with its sign, has 309 digits before the point. */
const MAX_NUMBER_BYTES = 400;
/** After so many bytes others have their turn. */
const SLICE_BYTES = 64 * 1024;

const MERGE_PATCH = "application/merge-patch+json";

/**
 * Checks the body of a write: an object in JSON that every reader reads alike, with a bounded number of parts,
 * since Vault answers 500 to some that are not. It reads each byte once, in slices: it yields between them.
 * Returns the number of parts. Throws `unsupported_media_type` or `invalid_request`.
 */
export function* bodyCheck(
  body: Buffer,
  contentType: string | undefined,
  verb: Verb,
): Generator<void, number, void> {
  // Of other bodies Vault does not ask the type, and clients say form, text or nothing of their JSON.
  if (verb.body === "merge-patch" && contentType?.split(";")[0]?.trim().toLowerCase() !== MERGE_PATCH) {
    throw new StrongroomError("unsupported_media_type", `The body must be ${MERGE_PATCH}.`);
  }
  if (!isUtf8(body)) throw notJson();
  const { parts, names, objects } = yield* scan(body);
  for (const name of verb.objects ?? []) {
    if (!objects.has(key(name))) throw invalid(`it has no object ${name}`);
  }
  for (const name of verb.without ?? []) {
    if (names.has(key(name))) throw invalid(`${name} is not served here`);
  }
  return parts;
}

/** {@link bodyCheck} of a small body, in one go. */
export function checkBody(body: Buffer, contentType: string | undefined, verb: Verb): number {
  const check = bodyCheck(body, contentType, verb);
  for (;;) {
    const { done, value } = check.next();
    if (done) return value;
  }
}

const [QUOTE, COMMA, COLON, BACKSLASH, U] = [0x22, 0x2c, 0x3a, 0x5c, 0x75];
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];
const NUMBER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/;
const LITERAL = /^(?:true|false|null)/;
/** The value of each byte as a hexadecimal digit; -1 for any other. */
const HEX_DIGITS = Int8Array.from({ length: 256 }, (_, byte) => {
  const digit = Number.parseInt(String.fromCharCode(byte), 16);
  return Number.isNaN(digit) ? -1 : digit;
});
/** What a backslash and a byte stand for; 0 where they stand for nothing. */
const UNESCAPED = Uint8Array.from({ length: 256 }, (_, byte) => {
  const at = '"\\/bfnrt'.indexOf(String.fromCharCode(byte));
  return '"\\/\b\f\n\r\t'.charCodeAt(at); // NaN of none, which is 0 in a byte
});

interface Container {
  close: number;
  /** An object's, by {@link key}. */
  names?: Set<string>;
}

/** What a body has: its parts in all, and of its top the names, and the names of members that are objects. */
interface Scanned {
  parts: number;
  names: ReadonlySet<string>;
  objects: ReadonlySet<string>;
}

/** Reads a text in UTF-8 by the grammar of RFC 8259. */
function* scan(body: Buffer): Generator<void, Scanned, void> {
  const text = new Text(body);
  const open: Container[] = [];
  const names = new Set<string>();
  const objects = new Set<string>();
  let parts = 0;
  let name = "";
  let pausedAt = 0;

  while (text.space()) yield;
  if (text.peek() !== OPEN_OBJECT) throw invalid("it is not a JSON object");
  for (;;) {
    const first = text.peek();
    let begun: Container | undefined;
    if (first === OPEN_OBJECT || first === OPEN_LIST) {
      if (open.length >= MAX_DEPTH) throw invalid("it is too deep");
      if (first === OPEN_OBJECT && open.length === 1) objects.add(name);
      begun =
        first === OPEN_OBJECT
          ? { close: CLOSE_OBJECT, names: open.length === 0 ? names : new Set<string>() }
          : { close: CLOSE_LIST };
      open.push(begun);
      text.at++;
    } else if (first === QUOTE) {
      text.beginString();
      while (text.string()) yield;
    } else text.scalar();

    // Behind a value, or behind the beginning of a container: what follows?
    for (;;) {
      while (text.space()) yield;
      if (text.at - pausedAt > SLICE_BYTES) {
        pausedAt = text.at;
        yield;
      }
      const container = open.at(-1);
      if (!container) {
        if (text.at < body.length) throw notJson();
        return { parts, names, objects };
      }
      if (text.peek() === container.close) {
        text.at++;
        open.pop();
        begun = undefined;
        continue;
      }
      if (!begun) text.take(COMMA);
      while (text.space()) yield;
      if (++parts > MAX_PARTS) throw invalid(`it has more than ${MAX_PARTS} names and list elements`);
      if (container.names) {
        if (text.peek() !== QUOTE) throw notJson();
        text.beginString();
        while (text.string()) yield;
        name = text.name();
        if (container.names.has(name)) throw invalid("it has a member twice");
        container.names.add(name);
        while (text.space()) yield;
        text.take(COLON);
        while (text.space()) yield;
      }
      break;
    }
  }
}

const decoded = Buffer.alloc(MAX_NAME_BYTES);

/** A place in a text, and how to move over what begins there. What returns true has more to do after a pause. */
class Text {
  at = 0;
  readonly #body: Buffer;
  /** Of the string read last: where it begins, and whether it has escapes. */
  #began = 0;
  #escaped = false;

  constructor(body: Buffer) {
    this.#body = body;
  }

  /** The byte here; undefined at the end. */
  peek(): number | undefined {
    return this.#body[this.at];
  }

  take(byte: number): void {
    if (this.#body[this.at] !== byte) throw notJson();
    this.at++;
  }

  space(): boolean {
    const body = this.#body;
    let { at } = this;
    const end = Math.min(at + SLICE_BYTES, body.length);
    while (at < end && isSpace(body[at] as number)) at++;
    this.at = at;
    return at === end && end < body.length;
  }

  beginString(): void {
    this.#began = this.at++;
    this.#escaped = false;
  }

  string(): boolean {
    const body = this.#body;
    let { at } = this;
    const end = Math.min(at + SLICE_BYTES, body.length);
    while (at < end) {
      const byte = body[at] as number;
      if (byte === QUOTE) {
        this.at = at + 1;
        return false;
      }
      if (byte < 0x20) throw notJson();
      at = byte === BACKSLASH ? this.#escape(at) : at + 1;
    }
    if (at >= body.length) throw notJson();
    this.at = at;
    return true;
  }

  /** Behind an escape: behind both halves where it is a surrogate pair. */
  #escape(at: number): number {
    this.#escaped = true;
    if (this.#body[at + 1] !== U) {
      if (!UNESCAPED[this.#body[at + 1] ?? 0]) throw notJson();
      return at + 2;
    }
    const unit = this.#unit(at);
    if (unit < 0xd800 || unit > 0xdfff) return at + 6;
    const isPair = unit < 0xdc00 && this.#body[at + 6] === BACKSLASH && this.#body[at + 7] === U;
    const low = isPair ? this.#unit(at + 6) : 0;
    if (low < 0xdc00 || low > 0xdfff) throw invalid("it has half of a surrogate pair");
    return at + 12;
  }

  #unit(at: number): number {
    let unit = 0;
    for (let i = at + 2; i < at + 6; i++) {
      const digit = HEX_DIGITS[this.#body[i] ?? 0] ?? -1;
      if (digit < 0) throw notJson();
      unit = unit * 16 + digit;
    }
    return unit;
  }

  /** The string read last, as {@link key}; Vault reads every escaped half of a pair as the same character. */
  name(): string {
    if (this.at - this.#began > MAX_NAME_BYTES + 2) throw invalid("it has a name that is too long");
    if (!this.#escaped) return this.#body.toString("utf8", this.#began, this.at - 1);
    return key(decoded.toString("utf8", 0, this.#decode()));
  }

  /** Writes the string read last to `decoded`, in no more bytes than it had. Returns how many. */
  #decode(): number {
    const body = this.#body;
    let length = 0;
    for (let at = this.#began + 1; at < this.at - 1; ) {
      const byte = body[at] as number;
      if (byte !== BACKSLASH) {
        decoded[length++] = byte;
        at++;
      } else if (body[at + 1] !== U) {
        decoded[length++] = UNESCAPED[body[at + 1] as number] as number;
        at += 2;
      } else {
        const unit = this.#unit(at);
        at += 6;
        if (unit < 0x80) decoded[length++] = unit;
        else if (unit < 0x800) {
          decoded[length++] = 0xc0 | (unit >> 6);
          decoded[length++] = 0x80 | (unit & 0x3f);
        } else {
          const one = unit >= 0xd800 && unit <= 0xdfff ? 0xfffd : unit;
          decoded[length++] = 0xe0 | (one >> 12);
          decoded[length++] = 0x80 | ((one >> 6) & 0x3f);
          decoded[length++] = 0x80 | (one & 0x3f);
        }
      }
    }
    return length;
  }

  /** A number, `true`, `false` or `null`. */
  scalar(): void {
    const text = this.#body.toString("latin1", this.at, this.at + MAX_NUMBER_BYTES + 1);
    const [found] = LITERAL.exec(text) ?? NUMBER.exec(text) ?? [];
    if (found === undefined) throw notJson();
    if (found.length > MAX_NUMBER_BYTES) throw invalid("it has a number that is too long");
    if (!Number.isFinite(Number(found)) && !LITERAL.test(found)) {
      throw invalid("it has a number that is too large");
    }
    this.at += found.length;
  }
}

const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;

/** A name as it is kept: behind a quote, since the hashes of names like `1024` could be foreseen. */
const key = (name: string): string => `"${name}`;

const invalid = (why: string) => new StrongroomError("invalid_request", `The body is refused: ${why}.`);
const notJson = () => invalid("it is not JSON");

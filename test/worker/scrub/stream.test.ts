import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { REMOVED, Scrubber } from "../../../services/worker/scrub/scrubber.ts";
import { ResponseBlocked, ScrubStream } from "../../../services/worker/scrub/stream.ts";

const latin1 = (text: string) => Buffer.from(text, "latin1");

const RUNS = Number(process.env.RUNS ?? 1_000);

/** What comes out, chunk by chunk. */
function streamed(secrets: Iterable<Uint8Array>, chunks: readonly Buffer[]): Buffer[] {
  const stream = new ScrubStream(new Scrubber(secrets));
  return [...chunks.map((chunk) => stream.push(Buffer.from(chunk))), stream.end()].map((each) =>
    Buffer.from(each),
  );
}

function split(text: Buffer, borders: readonly number[]): Buffer[] {
  const sorted = [0, ...borders.map((border) => border % (text.length + 1)), text.length].sort(
    (a, b) => a - b,
  );
  return sorted.slice(1).map((border, index) => text.subarray(sorted[index], border));
}

const bytewise = (text: Buffer) => Array.from(text, (_, at) => text.subarray(at, at + 1));

const unit = (point: number) => point.toString(16).padStart(4, "0");
/** How services write a secret; each byte or character may be written in several of these ways. */
const ENCODINGS: ((secret: string) => string)[] = [
  (secret) => secret,
  (secret) => latin1(secret).toString("base64"),
  (secret) => latin1(`u${secret}`).toString("base64url"),
  (secret) => latin1(`u:${secret}`).toString("base64"),
  (secret) => latin1(`ab${secret}z`).toString("base64").replace(/.{5}/g, "$&\r\n"),
  (secret) => latin1(secret).toString("hex"),
  (secret) => latin1(secret).toString("hex").toUpperCase(),
  (secret) => Buffer.from(secret, "utf16le").toString("latin1"),
  encodeURIComponent,
  (secret) => new URLSearchParams({ s: secret }).toString().slice(2),
  (secret) => [...secret].map((each) => `%${each.charCodeAt(0).toString(16)}`).join(""),
  (secret) => JSON.stringify(secret).slice(1, -1),
  (secret) => [...secret].map((each) => `\\u${unit(each.charCodeAt(0))}`).join(""),
  (secret) => [...secret].map((each) => `\\x${each.charCodeAt(0).toString(16)}`).join(""),
  (secret) => [...secret].map((each) => `&#${each.charCodeAt(0)};`).join(""),
  (secret) => [...secret].map((each) => `&#x000${each.charCodeAt(0).toString(16)};`).join(""),
  (secret) => [...secret].map((each) => `${each}\n`).join(""),
  (secret) =>
    latin1(secret)
      .toString("hex")
      .replace(/^./, (each) => `%${each.charCodeAt(0).toString(16)}`),
  (secret) =>
    latin1(secret)
      .toString("hex")
      .replace(/.$/, (each) => `\\u${unit(each.charCodeAt(0))}`),
  (secret) => [...secret].map((each) => (each < "P" ? `%${each.charCodeAt(0).toString(16)}` : each)).join(""),
];

/** Texts of what escapes are made of, and of what the secret is made of: near misses at each place. */
const noise = fc.oneof(
  fc.stringMatching(/^[%+\\&#;xu0-9a-fA-F\r\n= ]{0,12}$/),
  fc.constantFrom(
    "%",
    "%4",
    "\\",
    "\\\\",
    "\\u00",
    "\\ud83d",
    "\\ud83d\\ude00",
    "&",
    "&#x",
    "&amp;",
    "\r\n",
    "\n\n",
  ),
  fc.string({ maxLength: 8 }),
  fc.tuple(fc.constantFrom("x", "a", "Y"), fc.nat({ max: 90 })).map(([each, length]) => each.repeat(length)),
);
const secretTexts = fc.oneof(
  fc.stringMatching(/^[\x20-\x7e]{8,24}$/),
  fc.stringMatching(/^[ab]{8,14}$/),
  fc.stringMatching(/^[a-f0-9]{8,16}$/),
  fc.stringMatching(/^[%\\&+;u0-9]{8,12}$/),
  fc.stringMatching(/^[\n\rab]{8,12}$/),
);
const encoded = (secret: string) =>
  fc.oneof(
    fc.constantFrom(...ENCODINGS).map((encode) => encode(secret)),
    fc.tuple(fc.constantFrom(...ENCODINGS), fc.nat(), fc.nat()).map(([encode, from, length]) =>
      encode(secret)
        .slice(from % 8)
        .slice(0, length % 60),
    ),
  );

/** Secrets, a text in which they appear in many forms, and borders of chunks. */
const cases = fc.tuple(secretTexts, secretTexts).chain(([one, other]) =>
  fc.record({
    secrets: fc.constantFrom([one], [one, other], [one, `${one}${other}`], [`Bearer ${one}`, one]),
    pieces: fc.array(fc.oneof(noise, encoded(one), encoded(other)), { maxLength: 8 }),
    borders: fc.array(fc.nat(), { maxLength: 12 }),
  }),
);

const ascii = (point: number) => (point < 128 ? String.fromCharCode(point) : "?");
/** Texts as decoders read them, each written as plainly as it can be. */
const READINGS: ((text: string) => string)[] = [
  (text) => text,
  (text) => text.replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16))),
  (text) =>
    text.replace(/\+|%([0-9a-f]{2})/gi, (_, hex) =>
      hex ? String.fromCharCode(Number.parseInt(hex, 16)) : " ",
    ),
  (text) =>
    text.replace(/\\(?:u([0-9a-f]{4})|x([0-9a-f]{2})|(["\\/'bfnrt]))/gi, (_, wide, narrow, short) =>
      short
        ? ({ b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" }[short as string] ?? short)
        : ascii(Number.parseInt(wide ?? narrow, 16)),
    ),
  (text) =>
    text.replace(/&#(?:x([0-9a-f]{1,8})|([0-9]{1,8}));/gi, (_, hex, decimal) =>
      ascii(hex ? Number.parseInt(hex, 16) : Number(decimal)),
    ),
  (text) => text.replace(/(?<![\r\n])(?:\r\n|\r|\n)(?![\r\n])/g, ""),
];

/** The secret, and the characters of its encodings that depend on nothing else. */
function formsOf(secret: string): string[] {
  const bytes = latin1(secret);
  const cores = [0, 1, 2].map((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes]).toString("base64url");
    return text.slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6));
  });
  return [secret, bytes.toString("hex"), Buffer.from(secret, "utf16le").toString("latin1"), ...cores];
}

describe("a stream's output", () => {
  test("is the whole text's, however it is split", () => {
    fc.assert(
      fc.property(cases, ({ secrets, pieces, borders }) => {
        const text = latin1(pieces.join(""));
        const bytes = secrets.map(latin1);
        const whole = new Scrubber(bytes).scrub(text).toString("latin1");
        for (const chunks of [split(text, borders), bytewise(text)]) {
          expect(Buffer.concat(streamed(bytes, chunks)).toString("latin1")).toBe(whole);
        }
      }),
      { numRuns: RUNS },
    );
  });

  test("has no form of a secret, whoever reads it", () => {
    fc.assert(
      fc.property(cases, ({ secrets, pieces, borders }) => {
        const text = latin1(pieces.join(""));
        const chunks = streamed(secrets.map(latin1), split(text, borders));
        // A secret may begin as the mark ends.
        const output = Buffer.concat(chunks).toString("latin1").replaceAll(REMOVED, "\x01");
        for (const read of READINGS) {
          const reading = read(output);
          const [lower, url] = [reading.toLowerCase(), reading.replaceAll("+", "-").replaceAll("/", "_")];
          for (const [index, form] of secrets.flatMap(formsOf).entries()) {
            const where = index % 6 === 1 ? lower : index % 6 > 2 ? url : reading;
            expect(where.includes(form)).toBe(false);
          }
        }
      }),
      { numRuns: RUNS },
    );
  });

  test("is the chunk itself if there is nothing to remove", () => {
    const stream = new ScrubStream(new Scrubber([latin1("tiger-42-secret")]));
    const chunk = latin1('{"a":"100% \\\\ &amp; 1+1"}\n');
    expect(stream.push(chunk).buffer).toBe(chunk.buffer);
    expect(stream.end()).toHaveLength(0);
  });

  test.each([
    ["an event", 'data: {"choices":[{"text":"a tiger"}]}\n\n'],
    ["an event of text", "data: tiger\n\n"],
    ["a line of JSON", '{"text":"tiger"}\n'],
    ["an empty line", "\r\n\r\n"],
    ["a prompt", "name: "],
  ])("%s need not wait for what follows", (_, text) => {
    const stream = new ScrubStream(new Scrubber([latin1("tiger-42-secret")]));
    for (let round = 0; round < 3; round++) expect(stream.push(latin1(text)).toString()).toBe(text);
  });

  test("holds back only what may be the beginning of a secret", () => {
    const stream = new ScrubStream(new Scrubber([latin1("tiger-42-secret")]));
    expect(stream.push(latin1(".tiger-")).toString()).toBe(".");
    expect(stream.push(latin1("43 ")).toString()).toBe("tiger-43 ");
    expect(stream.push(latin1(".tig")).toString()).toBe(".");
    expect(stream.push(latin1("er-42-sec")).toString()).toBe("");
    expect(stream.push(latin1("ret.")).toString()).toBe(`${REMOVED}.`);
    expect(stream.push(latin1(".&#x74;")).toString()).toBe(".");
    expect(stream.push(latin1("%")).toString()).toBe("&#x74;");
    expect(stream.end().toString()).toBe("%");
  });

  test("counts what it removes once", () => {
    const scrubber = new Scrubber([latin1("tiger-42-secret")]);
    const stream = new ScrubStream(scrubber);
    for (const chunk of bytewise(latin1("tiger-42-secret tiger-42-secret"))) stream.push(chunk);
    stream.end();
    expect(scrubber.hits).toBe(2);
  });
});

describe("a stream is blocked", () => {
  test("if more than it may hold may be a secret", () => {
    const secret = "x".repeat(4_000).concat("-secret");
    const stream = new ScrubStream(new Scrubber([latin1(secret)]), { held: 20_000 });
    const chunk = latin1("&#x0000078;".repeat(1_000));
    expect(() => {
      for (let round = 0; round < 4; round++) expect(stream.push(chunk)).toHaveLength(0);
    }).toThrow(ResponseBlocked);
  });

  test("if a secret goes on and on", () => {
    const stream = new ScrubStream(new Scrubber([latin1("aaaaaaaa")]));
    const chunk = Buffer.alloc(65_536, "a");
    expect(() => {
      for (let round = 0; round < 5; round++) expect(stream.push(chunk)).toHaveLength(0);
    }).toThrow(ResponseBlocked);
  });

  test.each([
    ["all of it looks like a secret", 65_536, "a".repeat(20_000).concat("b")],
    ["all of it looks like a secret, byte by byte", 1, "a".repeat(20_000).concat("b")],
    ["all of it looks like a secret but its end", 65_536, "b".concat("a".repeat(20_000))],
  ])("before it has cost seconds: %s", (_, size, secret) => {
    const stream = new ScrubStream(new Scrubber([latin1(secret)]));
    const chunk = Buffer.alloc(size, "a");
    const before = process.threadCpuUsage();
    let error: unknown;
    try {
      for (let sent = 0; sent < 4_000_000; sent += size) stream.push(chunk);
    } catch (thrown) {
      error = thrown;
    }
    const { user, system } = process.threadCpuUsage(before);
    if (error) expect(error).toBeInstanceOf(ResponseBlocked);
    expect((user + system) / 1_000_000).toBeLessThan(3);
  });
});

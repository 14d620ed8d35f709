import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MIN_SEARCHABLE_BYTES } from "../../../services/worker/scrub/needles.ts";
import { REMOVED, Scrubber } from "../../../services/worker/scrub/scrubber.ts";

const scrub = (secret: string | Buffer, text: string | Buffer): string =>
  new Scrubber([Buffer.from(secret as string)]).scrub(Buffer.from(text as string)).toString("utf8");

/** How services write a secret into an answer. */
const ENCODINGS: Record<string, (secret: string) => string> = {
  clear: (secret) => secret,
  base64: (secret) => Buffer.from(secret).toString("base64"),
  "base64 without padding": (secret) => Buffer.from(secret).toString("base64").replace(/=+$/, ""),
  base64url: (secret) => Buffer.from(secret).toString("base64url"),
  "base64url with padding": (secret) =>
    Buffer.from(secret).toString("base64").replaceAll("+", "-").replaceAll("/", "_"),
  "base64 after one byte": (secret) => Buffer.from(`u${secret}`).toString("base64"),
  "base64 after two bytes": (secret) => Buffer.from(`u:${secret}`).toString("base64"),
  "base64 between others": (secret) => Buffer.from(`user:${secret}:tail`).toString("base64"),
  "base64 in lines": (secret) =>
    Buffer.from(`user:${secret}`)
      .toString("base64")
      .replace(/.{1,16}/g, "$&\r\n"),
  "base64 in a URL": (secret) => encodeURIComponent(Buffer.from(secret).toString("base64")),
  "base64 in JSON of PHP": (secret) => Buffer.from(secret).toString("base64").replaceAll("/", "\\/"),
  hex: (secret) => Buffer.from(secret).toString("hex"),
  HEX: (secret) => Buffer.from(secret).toString("hex").toUpperCase(),
  "URI component": encodeURIComponent,
  "URI component in lower case": (secret) =>
    encodeURIComponent(secret).replace(/%../g, (each) => each.toLowerCase()),
  form: (secret) => new URLSearchParams({ s: secret }).toString().slice(2),
  "every byte in percent": (secret) =>
    [...Buffer.from(secret)].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join(""),
  "every other byte in percent": (secret) =>
    [...Buffer.from(secret)]
      .map((byte, index) =>
        index % 2 || byte > 127 || byte === 37 || byte === 43
          ? `%${byte.toString(16).padStart(2, "0")}`
          : String.fromCharCode(byte),
      )
      .join(""),
  JSON: (secret) => JSON.stringify(secret).slice(1, -1),
  "JSON in ASCII": (secret) =>
    [...JSON.stringify(secret).slice(1, -1)]
      .flatMap((character) => (character > "~" ? character.split("") : character))
      .map((unit) => (unit > "~" ? `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}` : unit))
      .join(""),
  "every unit in \\u": (secret) =>
    secret
      .split("")
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0").toUpperCase()}`)
      .join(""),
  HTML: (secret) =>
    secret
      .replaceAll("&", "&amp;")
      .replaceAll("<", "&lt;")
      .replaceAll(">", "&gt;")
      .replaceAll('"', "&quot;")
      .replaceAll("'", "&#39;"),
  "decimal references": (secret) => [...secret].map((each) => `&#${each.codePointAt(0)};`).join(""),
  "hexadecimal references": (secret) =>
    [...secret].map((each) => `&#x${each.codePointAt(0)?.toString(16)};`).join(""),
};

/** Every way to read a text that is tried here, so that a miss cannot hide behind an encoding. */
function readings(text: string): string[] {
  const attempts = [
    () => text,
    () => decodeURIComponent(text.replaceAll("+", " ")),
    () => Buffer.from(text.replace(/[^A-Za-z0-9+/_-]/g, ""), "base64").toString("utf8"),
    () => Buffer.from(decodeURIComponent(text).replace(/[^A-Za-z0-9+/_-]/g, ""), "base64").toString("utf8"),
    () => Buffer.from(text, "hex").toString("utf8"),
    () => JSON.parse(`"${text}"`) as string,
  ];
  return attempts.flatMap((read) => {
    try {
      return [read()];
    } catch {
      return [];
    }
  });
}

const secrets = fc.oneof(
  fc.stringMatching(/^[\x20-\x7e]{8,64}$/),
  fc.string({ unit: "grapheme", minLength: 8, maxLength: 40 }).filter((text) => text.isWellFormed()),
  fc.uint8Array({ minLength: 16, maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString("base64")),
);
/** Around the secret, nothing that could be read together with it. */
const frames = fc.constantFrom(
  ["", ""],
  ['{"echo":"', '"}'],
  ["<p>", "</p>"],
  ["a=1&b=", "&c=2"],
  ["\n", "\n"],
);

describe.each(Object.entries(ENCODINGS))("%s", (name, encode) => {
  test("is found, whatever the secret and what stands around it", () => {
    fc.assert(
      fc.property(secrets, frames, (secret, [before = "", after = ""]) => {
        const scrubbed = scrub(secret, `${before}${encode(secret)}${after}`);
        expect(scrubbed).toContain(REMOVED);
        const rest = scrubbed.slice(before.length, scrubbed.length - after.length).replace(REMOVED, "");
        for (const reading of readings(rest)) expect(reading).not.toContain(secret);
        // What stands around it inside the same base64 may stay, the secret's own characters may not.
        if (!name.startsWith("base64")) expect(rest).toBe("");
      }),
      { numRuns: 200 },
    );
  });
});

describe("base64", () => {
  test("no bit of the secret's first and last byte stays at its edges", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 8, maxLength: 33 }),
        fc.uint8Array({ maxLength: 5 }),
        fc.uint8Array({ maxLength: 5 }),
        (secret, before, after) => {
          const text = Buffer.concat([before, secret, after]).toString("base64");
          const scrubbed = new Scrubber([secret]).scrub(Buffer.from(text)).toString("latin1");
          const [left = "", right = ""] = scrubbed.split(REMOVED);
          expect(scrubbed.split(REMOVED)).toHaveLength(2);
          expect(left.length * 6).toBeLessThanOrEqual(before.length * 8);
          const rightFrom = text.replace(/=+$/, "").length - right.replace(/=+$/, "").length;
          expect(rightFrom * 6).toBeGreaterThanOrEqual((before.length + secret.length) * 8);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("what is not the secret", () => {
  test("stays as it is, byte for byte", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 2_000 }),
        fc.stringMatching(/^[a-z0-9]{24}$/),
        (text, secret) => {
          fc.pre(!Buffer.from(text).includes(secret));
          const scrubber = new Scrubber([Buffer.from(secret)]);
          expect(scrubber.scrub(Buffer.from(text))).toEqual(Buffer.from(text));
          expect(scrubber.hits).toBe(0);
        },
      ),
    );
  });

  test("stays around the secret", () => {
    expect(scrub("tiger-42-secret", "%zz \\q &nope; 100% tiger-42-secret &amp; \\u00e9 +")).toBe(
      `%zz \\q &nope; 100% ${REMOVED} &amp; \\u00e9 +`,
    );
  });
});

test("hits are counted, in several places and texts", () => {
  const scrubber = new Scrubber([Buffer.from("tiger-42-secret")]);
  scrubber.scrub(Buffer.from(`tiger-42-secret and ${Buffer.from("tiger-42-secret").toString("hex")}`));
  expect(scrubber.scrubText("Bearer tiger-42-secret")).toBe(`Bearer ${REMOVED}`);
  expect(scrubber.hits).toBe(3);
});

test("a secret that repeats itself leaves no rest", () => {
  expect(scrub("aaaaaaaa", "x aaaaaaaaaaaaa y")).toBe(`x ${REMOVED} y`);
  expect(scrub("abcabcabc", "abcabcabcabc")).toBe(REMOVED);
});

test("a secret that is a form of another is found in all of its own forms", () => {
  const pair = "user:tiger-42-secrets";
  const secrets = [pair, Buffer.from(pair).toString("base64")];
  const scrubber = new Scrubber(secrets.map((secret) => Buffer.from(secret)));
  for (const secret of secrets) {
    expect(scrubber.scrubText(Buffer.from(secret).toString("base64"))).toBe(REMOVED);
    expect(scrubber.scrubText(Buffer.from(secret).toString("hex"))).toBe(REMOVED);
  }
});

test("UTF-16", () => {
  const secret = "tiger-42-secret";
  for (const wide of [Buffer.from(secret, "utf16le"), Buffer.from(secret, "utf16le").swap16()]) {
    expect(new Scrubber([Buffer.from(secret)]).scrub(wide).toString()).toBe(REMOVED);
  }
});

test(`a secret of less than ${MIN_SEARCHABLE_BYTES} bytes is not searched for`, () => {
  expect(scrub("1234567", "id 12345678")).toBe("id 12345678");
  expect(scrub("12345678", "id 12345678")).toBe(`id ${REMOVED}`);
});

test("after `forget` nothing is known", () => {
  const scrubber = new Scrubber([Buffer.from("tiger-42-secret")]);
  scrubber.forget();
  expect(scrubber.scrub(Buffer.from("tiger-42-secret")).toString()).toBe("tiger-42-secret");
});

test("256 KiB that are made to be slow take less than two seconds", () => {
  const size = 262_144;
  const texts = [
    "a".repeat(size),
    "%61".repeat(size / 3),
    "\\".repeat(size),
    "&#97;".repeat(size / 5),
    "\\u0061".repeat(size / 6),
  ];
  const secrets = [
    `${"a".repeat(4_000)}b`,
    `b${"a".repeat(4_000)}`,
    "a".repeat(8_000),
    `${"a".repeat(2_000)}b${"a".repeat(2_000)}`,
  ];
  for (const text of texts) {
    for (const secret of secrets) {
      // Of the processor's time: other tests may run beside it.
      const before = process.threadCpuUsage();
      scrub(secret, text);
      const { user, system } = process.threadCpuUsage(before);
      expect((user + system) / 1000).toBeLessThan(2_000);
    }
  }
});

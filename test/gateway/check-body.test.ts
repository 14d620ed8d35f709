import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bodyCheck, checkBody } from "../../services/gateway/check-body.ts";
import type { Verb } from "../../services/gateway/routes.ts";

const DATA: Verb = { body: "json", objects: ["data"] };
const PATCH: Verb = { body: "merge-patch", objects: ["data"] };
const PLAIN: Verb = { body: "json" };

function outcome(body: string | Buffer, verb: Verb = DATA, type?: string): string {
  try {
    checkBody(Buffer.from(body), type, verb);
    return "taken";
  } catch (error) {
    return (error as { code: string }).code;
  }
}

test.each([
  ["an object", '{"data":{"a":1}}'],
  ["white space around", ' \r\n\t{"data": {} }\n'],
  [
    "all kinds of values",
    '{"data":{"a":[1,-2.5e3,true,false,null,"x",{"b":[]}],"c":"\\u00e9\\ud83d\\ude00\\n\\""},"options":{"cas":0}}',
  ],
  ["a number beyond 2^53", '{"data":{"a":123456789012345678901234567890}}'],
  ["the same name in two objects", '{"data":{"a":{"x":1},"b":{"x":1}},"x":1}'],
  ["braces and quotes in texts", '{"data":{"{\\"a\\":":"}],[{\\"","[":"\\\\"}}'],
  ["a name in UTF-8", '{"data":{"schlüssel😀":1}}'],
])("taken: %s", (_name, body) => {
  expect(outcome(body)).toBe("taken");
});

const nested = (depth: number) => `{"data":${'{"a":'.repeat(depth)}1${"}".repeat(depth)}}`;
const wide = (count: number) => `{"data":{${Array.from({ length: count }, (_, i) => `"k${i}":1`).join()}}}`;

describe("refused", () => {
  test.each<[string, string | Buffer]>([
    ["nothing", ""],
    ["no JSON", "data=1"],
    ["more than one value", '{"data":{}}{}'],
    ["a comma at the end", '{"data":{"a":1,}}'],
    ["a list", "[]"],
    ["null", "null"],
    ["a text", '"x"'],
    ["a byte order mark", '\ufeff{"data":{}}'],
    ["no UTF-8", Buffer.concat([Buffer.from('{"data":{"a":"'), Buffer.from([0xff]), Buffer.from('"}}')])],
    ["a control character in a text", '{"data":{"a":"\u0001"}}'],
    ["a member twice", '{"data":{"a":1},"data":{"b":2}}'],
    ["a member twice, once escaped", '{"data":{"a":1,"\\u0061":2}}'],
    ["two names that Vault takes for one", '{"data":{"\\ud83d\\ude00":1,"\\ud83d\\ude01":2}}'],
    ["half of a surrogate pair", '{"data":{"a":"\\ud800"}}'],
    ["half of a surrogate pair in a name", '{"data":{"\\udc00":1}}'],
    ["a number without end", '{"data":{"a":1e400}}'],
    ["too deep", nested(100)],
    ["too wide", wide(4_000)],
    ["too long a list", `{"data":{"a":[${"1,".repeat(3_998)}1]}}`],
    ["too many parts in all", `{"data":${`{"a":[${"1,".repeat(1_998)}1],"b":[${"1,".repeat(1_998)}1]}`}}`],
    ["too many empty lists", `{"data":{"a":[${"[],".repeat(3_998)}[]]}}`],
    ["too long a name", `{"data":{"${"x".repeat(4_097)}":1}}`],
    ["too long a number", `{"data":{"a":0.${"1".repeat(399)}}}`],
    ["too long a number, for its zeros", `{"data":{"a":1e${"0".repeat(399)}}}`],
    ["no data", '{"options":{}}'],
    ["data null", '{"data":null}'],
    ["data a text", '{"data":"x"}'],
    ["data a list", '{"data":[]}'],
  ])("%s", (_name, body) => {
    expect(outcome(body)).toBe("invalid_request");
  });
});

/** What the refusal says; nothing if it is taken. */
function why(body: string | Buffer, verb: Verb = PLAIN, type?: string): string {
  try {
    checkBody(Buffer.from(body), type, verb);
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

test.each<[string, string, Verb?]>([
  ["[]", "it is not a JSON object"],
  ["{", "it is not JSON"],
  ['{"a":x}', "it is not JSON"],
  [nested(100), "it is too deep"],
  [wide(4_000), "it has more than 4000 names and list elements"],
  ['{"a":1,"a":1}', "it has a member twice"],
  ['{"a":"\\ud800"}', "it has half of a surrogate pair"],
  [`{"${"x".repeat(4_097)}":1}`, "it has a name that is too long"],
  [`{"a":1${"0".repeat(400)}}`, "it has a number that is too long"],
  ['{"a":-1e309}', "it has a number that is too large"],
  ['{"x":{"data":{}},"data":1}', "it has no object data", DATA],
  ['{"\\u0078":{}}', "x is not served here", { body: "json", without: ["x"] }],
])("it says why: %.20s", (body, expected, verb) => {
  expect(why(body, verb)).toBe(`The body is refused: ${expected}.`);
});

test("no control character stands in a text as it is", () => {
  for (let unit = 0; unit < 0x20; unit++) {
    expect(why(`{"a":"${String.fromCharCode(unit)}"}`), `${unit}`).toMatch("it is not JSON");
  }
  expect(why('{"a":" \u007f"}')).toBe("");
});

test("what a body must be without is asked of its top alone", () => {
  expect(why('{"a":{"x":1},"b":"x"}', { body: "json", without: ["x"] })).toBe("");
});

describe("a name is the same however it is written", () => {
  const escaped = (unit: number) => `\\u${unit.toString(16).padStart(4, "0")}`;
  const both = (one: string, other: string) => why(`{"${one}x":1,"${other}x":2}`);

  test.each([
    ...[0x41, 0x7f, 0x80, 0xff, 0x7ff, 0x800, 0xfff, 0xabcd, 0xd7ff, 0xe000, 0xffff],
  ])("by its code unit %d", (unit) => {
    const [plain, next] = [String.fromCharCode(unit), String.fromCharCode(unit ^ 1)];
    expect(both(plain, escaped(unit))).toMatch("twice");
    expect(both(escaped(unit).toUpperCase().replace("U", "u"), plain)).toMatch("twice");
    expect(both(next, escaped(unit))).toBe("");
    expect(both(`${plain}x`, escaped(unit))).toBe("");
  });

  test.each([
    ...["\\ud800\\udc00", "\\udbff\\udfff", "\\ud800\\udfff"],
  ])("as Vault reads the pair %s: as the replacement character twice", (pair) => {
    expect(both(pair, "\ufffd\ufffd")).toMatch("twice");
    expect(both(pair, "\\ufffd\\ufffd")).toMatch("twice");
  });

  test.each([...'"\\/bfnrt'])("by a backslash and %s", (letter) => {
    const unit = JSON.parse(`"\\${letter}"`).charCodeAt(0);
    expect(both(`\\${letter}`, escaped(unit))).toMatch("twice");
    expect(both(`\\${letter}`, escaped(unit ^ 1))).toBe("");
  });
});

test.each([
  ...["\\ud800\\udc00", "\\udbff\\udfff", "\\ud800\\udfff", "\\ud7ff", "\\ue000", "\\uDABC\\uDFED"],
])("the escape %s is whole", (text) => {
  expect(why(`{"a":"${text}"}`)).toBe("");
});

test.each([
  ...[
    "\\ud800",
    "\\udbff",
    "\\udc00",
    "\\udfff",
    "\\udc00\\ud800",
    "\\ud800\\ud800",
    "\\ud800\\u0041",
    "\\ud800\\ue000",
  ],
  ...["\\ud800x", "\\ud800\\n", "\\ud800\\n0000", "\\ud800xudc00", "\\ud800\\xdc00", "\\udc00\\udc00"],
])("the escape %s is half a pair", (text) => {
  expect(why(`{"a":"${text}"}`)).toMatch("half of a surrogate pair");
});

test.each([
  ...[
    "\\u",
    "\\u0",
    "\\u004",
    "\\ug041",
    "\\u004g",
    "\\u 041",
    "\\x41",
    "\\U0041",
    "\\'",
    "\\a",
    "\\0",
    "\\",
  ],
])("the escape %s is none", (text) => {
  expect(why(`{"a":"${text}"}`)).toMatch("it is not JSON");
  expect(why(`{"a":"${text}`)).toMatch("it is not JSON");
});

test("data is asked for only where it belongs", () => {
  expect(outcome('{"versions":[1]}', PLAIN)).toBe("taken");
  expect(outcome('{"versions":[1]}')).toBe("invalid_request");
});

test("just as deep and wide as is taken", () => {
  expect(outcome(nested(99))).toBe("taken");
  expect(outcome(wide(3_999))).toBe("taken");
  expect(outcome(`{"data":{"a":[${"1,".repeat(3_997)}1]}}`)).toBe("taken");
  expect(outcome(`{"data":${`{"a":[${"1,".repeat(1_998)}1],"b":[${"1,".repeat(1_997)}1]}`}}`)).toBe("taken");
  expect(outcome(`{"data":{"${"x".repeat(4_096)}":1}}`)).toBe("taken");
  expect(outcome(`{"data":{"a":0.${"1".repeat(398)}}}`)).toBe("taken");
});

test("the parts are told: each name and each list element", () => {
  const parts = (body: string) => checkBody(Buffer.from(body), undefined, PLAIN);
  expect(parts("{}")).toBe(0);
  expect(parts('{"a":1}')).toBe(1);
  expect(parts('{"a":[],"b":[1],"c":[{"d":[2,3]}]}')).toBe(8);
  expect(parts(`{"a":[1,${" ".repeat(200_000)}2]}`)).toBe(3);
});

test("a large body is read in slices, wherever its bytes are", () => {
  const MIB = 1024 * 1024;
  for (const body of [
    `{"data":{"a":"${"x".repeat(MIB)}"}}`,
    `{"data":{"a":"${"\\u0041".repeat(MIB / 6)}"}}`,
    `{"data":${" ".repeat(MIB)}{}}`,
    `{"data":{}}${" ".repeat(MIB)}`,
    `{"data":{"a":[${Array.from({ length: 3_900 }, () => "1".repeat(270)).join()}]}}`,
    `{"data":{${Array.from({ length: 3_900 }, (_, i) => `"${"x".repeat(260)}${i}":1`).join()}}}`,
  ]) {
    let slices = 1;
    const check = bodyCheck(Buffer.from(body), undefined, DATA);
    while (!check.next().done) slices++;
    expect(slices, body.slice(0, 20)).toBeGreaterThanOrEqual(15);
  }
});

test("what is over the bounds is refused once they are reached, not at its end", () => {
  const check = bodyCheck(Buffer.from(wide(48_000)), undefined, DATA);
  let slices = 1;
  expect(() => {
    while (!check.next().done) slices++;
  }).toThrow("4000 names");
  expect(slices).toBe(1);
});

test("a patch must say that it is one; of other bodies clients say what they will", () => {
  const body = '{"data":{}}';
  for (const type of [
    undefined,
    "application/json",
    "application/x-www-form-urlencoded",
    "text/plain;charset=UTF-8",
  ]) {
    expect(outcome(body, DATA, type)).toBe("taken");
    expect(outcome(body, PATCH, type)).toBe("unsupported_media_type");
    expect(why(body, PATCH, type)).toBe("The body must be application/merge-patch+json.");
  }
  for (const type of [
    "Application/Merge-Patch+JSON; charset=utf-8",
    " application/merge-patch+json ; a=b;c=d",
  ]) {
    expect(outcome(body, PATCH, type)).toBe("taken");
  }
});

test("any JSON of ordinary size is taken", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 5 })), (data) => {
      expect(outcome(JSON.stringify({ data }))).toBe("taken");
    }),
  );
});

/** What the check was before it read by itself: JSON.parse, and a look at what it made. */
function isTakenByParser(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject && !inspectNumbers(value).includes("Infinity");
  } catch {
    return false;
  }
}

/** All numbers in a value, as text. */
function inspectNumbers(value: unknown): string {
  if (typeof value === "number") return `${value} `;
  if (typeof value !== "object" || value === null) return "";
  return Object.values(value).map(inspectNumbers).join("");
}

/** Texts of JSON with a few characters put in, taken out or changed. */
const almostJson = fc
  .tuple(
    fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue({ maxDepth: 4 })),
    fc.constantFrom(undefined, 1, "\t"),
    fc.array(
      fc.tuple(
        fc.nat(),
        fc.nat({ max: 2 }),
        fc.constantFrom(
          ...["", " ", ",", ":", '"', "\\", "[", "]", "{", "}", "-", "+", ".", "0", "1", "e", "E", "u", "n"],
          ...[
            "null",
            "true",
            "fals",
            "1e5",
            "01",
            "-0",
            "1.",
            ".5",
            "1e+",
            "\\u00",
            "\\u00e9",
            "\\x",
            "\u0001",
          ],
          ...['"a":', '"a":1,', "\ufeff", "\u00a0", "\u2028", "/**/", "NaN", "'"],
        ),
      ),
      { maxLength: 3 },
    ),
  )
  .map(([data, indent, edits]) => {
    let text = JSON.stringify({ data, n: [1.5e-7, -0, 1e21] }, undefined, indent);
    for (const [where, removed, put] of edits) {
      const at = where % (text.length + 1);
      text = text.slice(0, at) + put + text.slice(at + removed);
    }
    return text.toWellFormed();
  });

test("it takes what JSON.parse takes and nothing else, but for names twice and halves of pairs", () => {
  let [taken, refused] = [0, 0];
  fc.assert(
    fc.property(almostJson, (text) => {
      let message = "";
      try {
        checkBody(Buffer.from(text), undefined, PLAIN);
        taken++;
      } catch (error) {
        message = (error as Error).message;
        refused++;
      }
      if (/twice|surrogate/.test(message)) return;
      expect(message === "", `${JSON.stringify(text)}: ${message}`).toBe(isTakenByParser(text));
    }),
    { numRuns: 1_000 },
  );
  expect(Math.min(taken, refused)).toBeGreaterThan(100);
});

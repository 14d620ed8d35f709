import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkBody } from "../../services/gateway/check-body.ts";
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
    ["too deep", nested(101)],
    ["too wide", wide(5_001)],
    ["too long a list", `{"data":{"a":[${"1,".repeat(5_000)}1]}}`],
    [
      "too many parts",
      `{"data":{"a":[${Array.from({ length: 50 }, () => `[${"1,".repeat(4_000)}1]`).join()}]}}`,
    ],
    ["no data", '{"options":{}}'],
    ["data null", '{"data":null}'],
    ["data a text", '{"data":"x"}'],
    ["data a list", '{"data":[]}'],
  ])("%s", (_name, body) => {
    expect(outcome(body)).toBe("invalid_request");
  });
});

test("data is asked for only where it belongs", () => {
  expect(outcome('{"versions":[1]}', PLAIN)).toBe("taken");
  expect(outcome('{"versions":[1]}')).toBe("invalid_request");
});

test("just as deep and wide as is taken", () => {
  expect(outcome(nested(98))).toBe("taken");
  expect(outcome(wide(5_000))).toBe("taken");
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
  }
  expect(outcome(body, PATCH, "Application/Merge-Patch+JSON; charset=utf-8")).toBe("taken");
});

test("any JSON of ordinary size is taken", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 5 })), (data) => {
      expect(outcome(JSON.stringify({ data }))).toBe("taken");
    }),
  );
});

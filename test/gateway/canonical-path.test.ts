import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalPath, encodePath } from "../../services/gateway/canonical-path.ts";

test("a path is taken apart", () => {
  expect(canonicalPath("/v1/secret/data/app/db")).toEqual({
    segments: ["v1", "secret", "data", "app", "db"],
    folder: false,
    query: undefined,
  });
  expect(canonicalPath("/v1/secret/metadata/app/?list=true")).toEqual({
    segments: ["v1", "secret", "metadata", "app"],
    folder: true,
    query: "list=true",
  });
  expect(canonicalPath("/").segments).toEqual([]);
});

test("the few encodings of good names are read, in either case", () => {
  const { segments } = canonicalPath("/a%20b/%40%2b%2B%3d%2C%3a%7E/...x/a..b/.hidden/-_~@+=,:");
  expect(segments).toEqual(["a b", "@++=,:~", "...x", "a..b", ".hidden", "-_~@+=,:"]);
  expect(encodePath(segments)).toBe("/a%20b/@++=,:~/...x/a..b/.hidden/-_~@+=,:");
});

describe("refused", () => {
  test.each([
    ["a dot", "/v1/./secret"],
    ["two dots", "/v1/secret/data/../metadata"],
    ["two dots at the end", "/v1/secret/data/.."],
    ["a dot at the end", "/v1/secret/data/."],
    ["two slashes", "/v1//secret"],
    ["two slashes at the start", "//v1/secret"],
    ["two slashes at the end", "/v1/secret//"],
    ["nothing but slashes", "//"],
    ["an encoded dot", "/v1/secret/data/%2e"],
    ["encoded dots", "/v1/secret/data/%2e%2E/x"],
    ["half encoded dots", "/v1/secret/data/.%2e/x"],
    ["an encoded slash", "/v1/secret/data/a%2fb"],
    ["an encoded slash in capitals", "/v1/secret/data/a%2Fb"],
    ["an encoded backslash", "/v1/secret/data/a%5cb"],
    ["an encoded NUL", "/v1/secret/data/a%00"],
    ["an encoded line break", "/v1/secret/data/a%0d%0ab"],
    ["an encoded percent sign", "/v1/secret/data/%252e%252e"],
    ["an encoded letter", "/v1/%73ecret/data/a"],
    ["an encoded query", "/v1/secret/data/a%3fversion=1"],
    ["an encoded hash", "/v1/secret/data/a%23"],
    ["a broken encoding", "/v1/secret/data/%zz"],
    ["half an encoding", "/v1/secret/data/a%2"],
    ["a lone percent sign", "/v1/secret/data/a%"],
    ["UTF-8, over-long", "/v1/secret/data/%c0%ae%c0%ae"],
    ["UTF-8", "/v1/secret/data/%c3%a9"],
    ["raw bytes beyond ASCII", "/v1/secret/data/\u00e9"],
    ["a backslash", "/v1/secret/data/a\\b"],
    ["a backslash with dots", "/v1/secret/data/..\\x"],
    ["a NUL", "/v1/secret/data/a\0"],
    ["a tab", "/v1/secret/data/a\tb"],
    ["a raw space", "/v1/secret/data/a b"],
    ["a space at the start of a part", "/v1/secret/data/%20a"],
    ["a space at the end of a part", "/v1/secret/data/a%20"],
    ["a part of spaces", "/v1/secret/data/%20"],
    ["a semicolon", "/v1/secret/data;x=1/a"],
    ["an encoded semicolon", "/v1/secret/data/a%3bb"],
    ["a hash", "/v1/secret/data/a#b"],
    ["quotes", '/v1/secret/data/"a"'],
    ["an asterisk", "/v1/secret/data/*"],
    ["no slash", "v1/secret"],
    ["an asterisk alone", "*"],
    ["nothing", ""],
    ["a whole address", "http://127.0.0.1/v1/secret/data/a"],
    ["too long", `/v1/secret/data/${"a".repeat(2048)}`],
    ["too long a query", `/v1/secret/data/a?${"a".repeat(2048)}`],
  ])("%s", (_name, target) => {
    expect(() => canonicalPath(target)).toThrow(expect.objectContaining({ code: "invalid_path" }));
  });
});

test("whatever is taken has one canonical text, which reads the same again", () => {
  const piece = fc.constantFrom(
    ..."ab.-_~@+=,:/%2e%2F%20 %25\\;?#*".split(""),
    "%20",
    "%2e",
    "%40",
    "..",
    "é",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      let taken: ReturnType<typeof canonicalPath>;
      try {
        taken = canonicalPath(`/${pieces.join("")}`);
      } catch (error) {
        expect(error).toMatchObject({ code: "invalid_path" });
        return;
      }
      const text = encodePath(taken.segments);
      expect(text).toMatch(/^\/[A-Za-z0-9._~@+=,:/%-]*$/);
      expect(text).not.toMatch(/\/\.{0,2}(\/|$)(?<!^\/)|%(?!20)/);
      expect(canonicalPath(text).segments).toEqual(taken.segments);
    }),
    { numRuns: 2_000 },
  );
});

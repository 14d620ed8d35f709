import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalPath } from "../../services/gateway/canonical-path.ts";

/** A path as it comes: Node makes a character of each byte. */
const sent = (text: string) => Buffer.from(text, "utf8").toString("latin1");

test("a path is taken apart", () => {
  expect(canonicalPath("/v1/secret/data/app/db")).toEqual({
    segments: ["v1", "secret", "data", "app", "db"],
    text: "/v1/secret/data/app/db",
    folder: false,
    query: undefined,
  });
  expect(canonicalPath("/v1/secret/metadata/app/?list=true")).toEqual({
    segments: ["v1", "secret", "metadata", "app"],
    text: "/v1/secret/metadata/app",
    folder: true,
    query: "list=true",
  });
  expect(canonicalPath("/v1/x?a?b").query).toBe("a?b");
  expect(canonicalPath("/v1/x?").query).toBe("");
  expect(canonicalPath("/")).toEqual({ segments: [], text: "/", folder: true, query: undefined });
});

describe("one form of a name, however it came", () => {
  test.each([
    ["a/b", "/a/b", "/a%2Fb", "/a%2fb", "/%61/b", "/a%2F%62"],
    ["a b", "/a%20b"],
    [" a / ", "/%20a%20/%20"],
    ["@+=,:~-._", "/@+=,:~-._", "/%40%2b%3D%2C%3a%7E%2d%2E%5f"],
    ["...x/a..b/.hidden/..a/a..", "/...x/a..b/.hidden/..a/a..", "/%2e..x/a%2e.b/%2Ehidden/..a/a.%2E"],
    ["ü", "/%C3%BC", "/%c3%bc", sent("/ü")],
    ["u\u0308", "/u%CC%88", sent("/u\u0308")],
    ["it's", "/it's", "/it%27s"],
    ["a(b)", "/a(b)", "/a%28b%29"],
    ["a;b&c!d$e", "/a;b&c!d$e", "/a%3Bb%26c%21d%24e"],
    ["*", "/*", "/%2A"],
    ["+", "/+", "/%2B"],
    ["a|b[c]{d}^e`f", "/a|b[c]{d}^e`f", "/a%7Cb%5Bc%5D%7Bd%7D%5Ee%60f"],
    ['"<>"', '/"<>"', "/%22%3C%3E%22"],
    ["a#b", "/a%23b"],
    ["a?b", "/a%3Fb"],
    ["a\\b", "/a%5Cb", "/a%5cb"],
    ["100%", "/100%25"],
    ["a%zz", "/a%25zz"],
    ["a%2", "/a%252"],
    ["a%2z", "/a%252z"],
    ["😀", "/%F0%9F%98%80", sent("/😀")],
    ["．．", "/%EF%BC%8E%EF%BC%8E", sent("/．．")],
  ])("%s", (name, ...spellings) => {
    const forms = spellings.map((spelling) => canonicalPath(spelling));
    for (const { segments, text } of forms) {
      expect(segments).toEqual(name.split("/"));
      expect(text).toBe(forms[0]?.text);
      expect(canonicalPath(text)).toEqual(forms[0]);
    }
  });

  test("which is what stands as it is, and capital hex digits", () => {
    expect(canonicalPath("/@+=,:~-._%20%c3%bc'(*)!;&$#".replace("#", "%23")).text).toBe(
      "/@+=,:~-._%20%C3%BC%27%28%2A%29%21%3B%26%24%23",
    );
  });
});

test("a slash at the end is a folder's, also where it is doubled or encoded", () => {
  for (const end of ["/", "//", "%2F", "/%2f", "%2F/"]) {
    expect(canonicalPath(`/v1/secret/metadata/a${end}?list=true`)).toMatchObject({
      segments: ["v1", "secret", "metadata", "a"],
      text: "/v1/secret/metadata/a",
      folder: true,
    });
  }
});

describe("refused, and it says why", () => {
  test.each([
    ["a dot", "/v1/./secret", "part"],
    ["two dots", "/v1/secret/data/../metadata", "part"],
    ["two dots at the end", "/v1/secret/data/..", "part"],
    ["a dot at the end", "/v1/secret/data/.", "part"],
    ["a dot as a folder", "/v1/secret/data/./", "part"],
    ["dots beside an encoding", "/v1/secret/data/%20/../x", "part"],
    ["two slashes", "/v1//secret", "part"],
    ["two slashes at the start", "//v1/secret", "part"],
    ["three slashes at the end", "/v1/secret///", "part"],
    ["nothing but slashes", "//", "part"],
    ["nothing but encoded slashes", "/%2f%2F", "part"],
    ["an encoded slash at the start", "/%2Fv1/secret", "part"],
    ["an encoded empty part", "/v1/secret/data/a%2f%2Fb", "part"],
    ["a half encoded empty part", "/v1/secret/metadata/%2Fa", "part"],
    ["an encoded dot", "/v1/secret/data/%2e", "part"],
    ["encoded dots", "/v1/secret/data/%2e%2E/x", "part"],
    ["half encoded dots", "/v1/secret/data/.%2e/x", "part"],
    ["dots between encoded slashes", "/v1/secret/data/a%2f..%2Fmetadata", "part"],
    ["dots beside a backslash", "/v1/secret/data/..%5Cx", "part"],
    ["dots behind a backslash", "/v1/secret/data/x%5C..", "part"],
    ["an encoded NUL", "/v1/secret/data/a%00", "printed"],
    ["an encoded line break", "/v1/secret/data/a%0d%0ab", "printed"],
    ["an encoded delete", "/v1/secret/data/a%7f", "printed"],
    ["a control character of the second set", "/v1/secret/data/a%C2%85", "printed"],
    ["a space that does not break", "/v1/secret/data/a%c2%a0b", "printed"],
    ["a space without width", "/v1/secret/data/a%e2%80%8bb", "printed"],
    ["a mark that turns the text around", "/v1/secret/data/a%e2%80%aeb", "printed"],
    ["a byte order mark", "/%ef%bb%bfv1/secret/data/a", "printed"],
    ["a byte order mark before it all", "%ef%bb%bf/v1/secret/data/a", "slash"],
    ["one that is not encoded", "\u00ef\u00bb\u00bf/v1/secret/data/a", "slash"],
    ["a private character", "/v1/secret/data/%ee%80%80", "printed"],
    ["a NUL", "/v1/secret/data/a\0", "printed"],
    ["a tab", "/v1/secret/data/a\tb", "printed"],
    ["encoded twice", "/v1/secret/data/%252e%252e", "twice"],
    ["a slash encoded twice", "/v1/secret/data/a%252Fb", "twice"],
    ["a letter encoded twice", "/v1/secret/data/%2541", "twice"],
    ["encoded thrice", "/v1/secret/data/%25252e", "twice"],
    ["encoded as some servers do", "/v1/secret/data/%25u002e", "twice"],
    ["a broken encoding", "/v1/secret/data/%zz", "broken"],
    ["half an encoding", "/v1/secret/data/a%2", "broken"],
    ["a lone percent sign", "/v1/secret/data/a%", "broken"],
    ["an encoding of some servers", "/v1/secret/data/%u002e", "broken"],
    ["over-long UTF-8", "/v1/secret/data/%c0%ae%c0%ae", "UTF-8"],
    ["half a surrogate pair", "/v1/secret/data/%ed%a0%80", "UTF-8"],
    ["a lone byte", "/v1/secret/data/%ff", "UTF-8"],
    ["a byte of Latin-1", "/v1/secret/data/\u00e9", "UTF-8"],
    ["a character that is no byte", "/v1/secret/data/\u0141", "broken"],
    ["a backslash", "/v1/secret/data/a\\b", "must be encoded"],
    ["a backslash with dots", "/v1/secret/data/..\\x", "must be encoded"],
    ["a hash", "/v1/secret/data/a#b", "must be encoded"],
    ["no slash", "v1/secret", "slash"],
    ["an asterisk alone", "*", "slash"],
    ["nothing", "", "slash"],
    ["a whole address", "http://127.0.0.1/v1/secret/data/a", "slash"],
    ["too long", `/${"a".repeat(2048)}`, "longer than 2048"],
    ["too long with its query", `/v1?${"a".repeat(2045)}`, "longer than 2048"],
  ])("%s", (_name, target, why) => {
    expect(() => canonicalPath(target)).toThrow(
      expect.objectContaining({ code: "invalid_path", message: expect.stringContaining(why) }),
    );
  });

  test("but 2,048 characters are taken", () => {
    expect(canonicalPath(`/${"a".repeat(2047)}`).segments[0]).toHaveLength(2047);
    expect(canonicalPath(`/v1?${"a".repeat(2044)}`).query).toHaveLength(2044);
  });
});

const piece = fc.constantFrom(
  ..."ab.-_~@+=,:/\\;?#*'()!&$|[]{}<>\"^` %".split(""),
  ...["%20", "%2e", "%2E", "%40", "%2F", "%2f", "%25", "%5c", "%00", "%C3%BC", "%41", "..", "//", "é", "ü"],
);
const target = fc.array(piece, { maxLength: 12 }).map((pieces) => `/${pieces.join("")}`);

function taken(text: string): ReturnType<typeof canonicalPath> | undefined {
  try {
    return canonicalPath(text);
  } catch (error) {
    expect(error).toMatchObject({ code: "invalid_path" });
    return undefined;
  }
}

test("whatever is taken has one canonical text, which reads the same again, however often", () => {
  fc.assert(
    fc.property(target, (asked) => {
      const path = taken(sent(asked));
      if (!path) return;
      const { text, segments, folder } = path;
      expect(text).toMatch(/^\/(?:[A-Za-z0-9._~@+=,:/-]|%[0-9A-F]{2})*$/);
      for (const segment of segments) expect(["", ".", ".."]).not.toContain(segment);
      const again = canonicalPath(text);
      expect(again).toMatchObject({ segments, text });
      // As every reader of URLs resolves it, it stays, and decoded once it is what was asked for.
      expect(new URL(text, "https://vault").pathname).toBe(text);
      const asFolder = folder && text !== "/" ? "/" : "";
      const [askedPath = ""] = asked.split("?", 1);
      expect(decodeURIComponent(text) + asFolder).toBe(
        decodeURIComponent(askedPath).replace(/(.)\/\/$/, "$1/"),
      );
    }),
    { numRuns: 5_000 },
  );
});

test("two names never share a form", () => {
  const formOf = new Map<string, string>();
  fc.assert(
    fc.property(target, (asked) => {
      const path = taken(sent(asked));
      if (!path) return;
      const name = JSON.stringify(path.segments);
      expect(formOf.get(path.text) ?? name).toBe(name);
      formOf.set(path.text, name);
    }),
    { numRuns: 5_000 },
  );
});

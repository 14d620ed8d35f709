import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hasRepeatedMember, takeApart } from "../../../../services/shared/front/identity/canonical-form.ts";
import { TokenRefused } from "../../../../services/shared/front/identity/refused.ts";
import { encode } from "../../../harness/tokens.ts";

const header = { alg: "RS256", kid: "k1", typ: "JWT" };
const form = (head: unknown, payload: unknown = { sub: "u" }, signature = "c2ln") =>
  `${encode(head)}.${encode(payload)}.${signature}`;

function reason(token: string): string {
  try {
    takeApart(token);
  } catch (error) {
    expect(error).toBeInstanceOf(TokenRefused);
    return (error as TokenRefused).reason;
  }
  return "accepted";
}

test("a token in canonical form is parsed", () => {
  const token = form({ ...header, x5t: "abc" }, { sub: "ü", n: [1, { a: 1 }] });
  const { header: head, payload, signingInput } = takeApart(token);
  expect(head).toEqual({ alg: "RS256", kid: "k1" });
  expect(payload).toEqual({ sub: "ü", n: [1, { a: 1 }] });
  expect(`${signingInput}.c2ln`).toBe(token);
});

describe("accepted", () => {
  test.each(["JWT", "jwt", "at+jwt", "AT+JWT", "application/jwt", "application/at+jwt"])("type %s", (typ) => {
    expect(reason(form({ ...header, typ }))).toBe("accepted");
  });

  test("no type, the thumbprints of a certificate, and a kid of 256 letters", () => {
    const { typ: _, ...untyped } = header;
    expect(reason(form(untyped))).toBe("accepted");
    expect(reason(form({ ...header, x5t: "a", "x5t#S256": "b" }))).toBe("accepted");
    expect(reason(form({ ...header, kid: "k".repeat(256) }))).toBe("accepted");
  });
});

test("a token has at most 8192 characters", () => {
  /** As long as asked for: a kid makes up for what base64url cannot. */
  const ofLength = (length: number) => {
    for (let pad = 0; ; pad++) {
      const start = `${encode({ ...header, kid: "k".repeat(1 + pad) })}.${encode({ sub: "u" })}.`;
      const signature = Buffer.alloc(Math.floor(((length - start.length) * 3) / 4)).toString("base64url");
      if (start.length + signature.length === length) return start + signature;
    }
  };
  expect(ofLength(8192)).toHaveLength(8192);
  expect(reason(ofLength(8192))).toBe("accepted");
  expect(reason(ofLength(8193))).toBe("token_too_large");
});

describe("refused", () => {
  const good = form(header);
  const [head, body] = good.split(".");
  test.each([
    ["nothing", "", "token_form"],
    ["one part", "abc", "token_form"],
    ["two parts", `${head}.${body}`, "token_form"],
    ["an empty signature", `${head}.${body}.`, "token_form"],
    ["four parts", `${good}.c2ln`, "token_form"],
    ["five parts, as an encrypted one has", `${good}.c2ln.c2ln`, "token_form"],
    ["padding", `${head}.${body}.c2lnbg==`, "token_form"],
    ["plain base64", `${head}.${body}.ab+/`, "token_form"],
    ["unused bits set in the signature", `${head}.${body}.c2lnbh`, "token_form"],
    ["white space inside", `${head} .${body}.c2ln`, "token_form"],
    ["a line break", `${head}.${body}.c2ln\n`, "token_form"],
    ["a NUL", `${head}.${body}.c2ln\0`, "token_form"],
    ["letters beyond ASCII", `${head}.${body}.c2lñ`, "token_form"],
    ["a length that is no base64", `${head}.${body}.c2lnb`, "token_form"],
    ["a header that is no JSON", form("{alg"), "token_form"],
    ["a header that is a list", form([header]), "token_form"],
    ["a header that is null", form("null"), "token_form"],
    ["a payload that is text", form(header, '"sub"'), "token_form"],
    ["a payload that is a number", form(header, "1"), "token_form"],
    ["a payload that is a list", form(header, [1]), "token_form"],
    ["JSON after JSON", form(header, "{}{}"), "token_form"],
    ["a member twice in the header", form('{"alg":"RS256","kid":"k","alg":"none"}'), "token_form"],
    ["a claim twice", form(header, '{"sub":"a","sub":"b"}'), "token_form"],
    ["a claim twice, once escaped", form(header, '{"sub":"a","\\u0073ub":"b"}'), "token_form"],
    ["a member twice deep inside", form(header, '{"a":[{"b":{"c":1,"c":2}}]}'), "token_form"],
    ["a byte order mark", form(`\ufeff${JSON.stringify(header)}`), "token_form"],
    ["crit", form({ ...header, crit: ["exp"], exp: 1 }), "token_header_member"],
    ["jku", form({ ...header, jku: "https://evil.example/jwks" }), "token_header_member"],
    ["jwk", form({ ...header, jwk: {} }), "token_header_member"],
    ["x5u", form({ ...header, x5u: "https://evil.example" }), "token_header_member"],
    ["x5c", form({ ...header, x5c: [] }), "token_header_member"],
    ["b64", form({ ...header, b64: false }), "token_header_member"],
    ["an unknown member", form({ ...header, foo: 1 }), "token_header_member"],
    ["no kid", form({ alg: "RS256" }), "kid_missing"],
    ["an empty kid", form({ ...header, kid: "" }), "kid_missing"],
    ["a kid that is a number", form({ ...header, kid: 1 }), "kid_missing"],
    ["a kid of a letter too many", form({ ...header, kid: "k".repeat(257) }), "kid_missing"],
    ["no alg", form({ kid: "k" }), "algorithm_not_allowed"],
    ["an alg that is a list", form({ ...header, alg: ["RS256"] }), "algorithm_not_allowed"],
    ["another type of signed thing", form({ ...header, typ: "strongroom-directory+jws" }), "token_type"],
    ["a type that is a number", form({ ...header, typ: 1 }), "token_type"],
    ["a type that is null", form({ ...header, typ: null }), "token_type"],
    ["an empty header", `.${body}.c2ln`, "token_form"],
    ["an empty payload", `${head}..c2ln`, "token_form"],
    ["too much", form(header, { sub: "x".repeat(9000) }), "token_too_large"],
  ])("%s", (_name, token, expected) => {
    expect(reason(token)).toBe(expected);
  });

  test("bytes that are not UTF-8", () => {
    const bytes = Buffer.concat([Buffer.from('{"sub":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]);
    expect(reason(`${head}.${bytes.toString("base64url")}.c2ln`)).toBe("token_form");
  });
});

test("any input is parsed or refused, and a parsed token has one spelling", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
      expect(reason(text)).not.toBe("accepted");
    }),
  );
  fc.assert(
    fc.property(fc.nat(500), fc.constantFrom(..."ABCabc019-_=+/. \n"), (at, letter) => {
      const good = form(header, { sub: "user", org_id: "org_acme" });
      const changed = good.slice(0, at % good.length) + letter + good.slice((at % good.length) + 1);
      if (reason(changed) !== "accepted") return;
      const parts = changed.split(".").map((part) => Buffer.from(part, "base64url").toString("base64url"));
      expect(parts.join(".")).toBe(changed);
    }),
  );
});

test("repeated members are found in any JSON, and only repeated ones", () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      const once = JSON.stringify(JSON.parse(text));
      expect(hasRepeatedMember(once)).toBe(false);
      expect(hasRepeatedMember(`[{"k":${once},"k":1}]`)).toBe(true);
    }),
  );
});

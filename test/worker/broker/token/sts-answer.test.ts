import { describe, expect, test } from "vitest";
import { parseAssumedRole, parseErrorCode } from "../../../../services/worker/broker/token/sts-answer.ts";

const credentials = (secret = "a&amp;b&lt;c&gt;", more = "") =>
  `<Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>${secret}</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2030-01-02T03:04:05Z</Expiration>${more}</Credentials>`;
const answer = (inside = credentials()) =>
  `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>${inside}<PackedPolicySize>6</PackedPolicySize></AssumeRoleResult><ResponseMetadata><RequestId>c6</RequestId></ResponseMetadata></AssumeRoleResponse>`;
const parse = (text: string) => parseAssumedRole(Buffer.from(text));

test("reads what AWS writes, with and without a declaration and white space", () => {
  const expected = {
    ...{ accessKeyId: "ASIA", secretAccessKey: "a&b<c>", sessionToken: "t" },
    expiresAt: Date.parse("2030-01-02T03:04:05Z"),
  };
  expect(parse(answer())).toEqual(expected);
  expect(parse(`<?xml version="1.0" encoding="UTF-8"?>\n${answer()}\n`)).toEqual(expected);
});

describe("refuses", () => {
  for (const [name, text] of Object.entries({
    nothing: "",
    "a page": "<html><body>hello</body></html>",
    "a document type": `<!DOCTYPE x [<!ENTITY e "v">]>${answer()}`,
    "an entity of its own": answer(credentials("&e;")),
    "a numeric entity": answer(credentials("&#65;")),
    "an ampersand alone": answer(credentials("a & b")),
    "a comment": answer(`<!-- x -->${credentials()}`),
    CDATA: answer(credentials("<![CDATA[x]]>")),
    "a processing instruction": `<?php x?>${answer()}`,
    "an attribute": answer(`<A b="c"/>${credentials()}`),
    "a prefix": answer(credentials().replaceAll("Credentials>", "x:Credentials>")),
    "credentials twice": answer(credentials() + credentials()),
    "a key twice": answer(credentials("s", "<AccessKeyId>ASIB</AccessKeyId>")),
    "two documents": answer() + answer(),
    "text around it": `x${answer()}`,
    "an element that does not end": answer().replace("</AssumeRoleResponse>", ""),
    "an element that ends twice": `${answer()}</AssumeRoleResponse>`,
    "elements that overlap": "<AssumeRoleResponse><A><B></A></B></AssumeRoleResponse>",
    "no time": answer(credentials().replace("2030-01-02T03:04:05Z", "soon")),
    "no credentials": answer(""),
    "a deep document": answer("<A>".repeat(50) + "</A>".repeat(50)),
    "many elements": answer("<A/>".repeat(500) + credentials()),
  })) {
    test(name, () => expect(() => parse(text)).toThrow("AWS STS's answer is not as AWS documents it"));
  }

  test("bytes that are no UTF-8", () => {
    expect(() => parseAssumedRole(Buffer.from([0xff, 0xfe]))).toThrow();
  });
});

test("reads the code of a refusal, and nothing else as one", () => {
  const code = (text: string) =>
    parseErrorCode(Buffer.from(`<ErrorResponse><Error><Code>${text}</Code></Error></ErrorResponse>`));
  expect(code("ExpiredTokenException")).toBe("ExpiredTokenException");
  expect(code("a secret/+=")).toBeUndefined();
  expect(parseErrorCode(Buffer.from("<html>"))).toBeUndefined();
});

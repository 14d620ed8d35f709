import type { ServerResponse } from "node:http";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Grant } from "../../../../services/shared/broker/grant.ts";
import { newOrgId } from "../../../../services/shared/org.ts";
import { Tokens } from "../../../../services/worker/broker/token/tokens.ts";
import { UseFailure } from "../../../../services/worker/broker/use-failure.ts";
import { exchangeTo, policyOf, sealedCredential, who } from "../../../harness/granted-credential.ts";
import { memoryKeyProvider } from "../../../harness/key-provider.ts";
import { answerJson, type ScriptedEndpoint, startScriptedEndpoint } from "../../../harness/token-endpoint.ts";

let endpoint: ScriptedEndpoint;
const org = newOrgId();
const keys = memoryKeyProvider("memory:broker");
const SECRET = "the-long-lived-secret-8c1f";
const REFRESH = "the-refresh-token-77d0";
const GOOD = { access_token: "short-lived", token_type: "Bearer", expires_in: 600, scope: "read" };

beforeAll(async () => {
  endpoint = await startScriptedEndpoint();
});
afterEach(() => {
  endpoint.requests.length = 0;
});
afterAll(() => endpoint.close());

const common = () => ({
  ...{ endpoint: `${endpoint.origin}/token`, clientId: "client", clientAuth: "post" as const },
  ...{ scopes: ["read", "write"], who, lifetimeSeconds: 3600 },
});

async function obtain(type: "client_credentials" | "refresh_token", totalMs = 5_000) {
  const grant: Grant =
    type === "client_credentials"
      ? { type, ...common() }
      : { type, ...common(), revocation: `${endpoint.origin}/revoke` };
  const value =
    type === "client_credentials" ? SECRET : JSON.stringify({ refreshToken: REFRESH, clientSecret: SECRET });
  const credential = await sealedCredential(keys, org, value, policyOf(grant));
  const tokens = new Tokens(keys, exchangeTo([endpoint], totalMs));
  try {
    return await tokens.obtain({ org, credential, asked: { scopes: ["read"] }, mayExchange: true });
  } finally {
    tokens.close();
  }
}

async function failureOf(work: Promise<unknown>): Promise<UseFailure> {
  const thrown = await work.then(() => undefined).catch((error: unknown) => error);
  if (thrown instanceof UseFailure) return thrown;
  throw thrown ?? new Error("it did not fail");
}

const page = (response: ServerResponse, status: number, type: string, body: string | Buffer) =>
  void response.writeHead(status, { "Content-Type": type }).end(body);
const LEAK = `an error with ${SECRET}`;

/** What a hostile token endpoint may answer, and how the call fails. */
const HOSTILE: Record<string, [answer: (response: ServerResponse) => void, failure: string]> = {
  "a redirect": [
    (response) => void response.writeHead(307, { Location: "https://elsewhere.example.test/" }).end(),
    "answer_unusable",
  ],
  "a redirect with a token": [
    (response) =>
      void response
        .writeHead(302, { "Content-Type": "application/json", Location: "/token" })
        .end(JSON.stringify(GOOD)),
    "answer_unusable",
  ],
  "a page of HTML": [(response) => page(response, 200, "text/html", "<p>Welcome</p>"), "answer_unusable"],
  "JSON as HTML": [(response) => page(response, 200, "text/html", JSON.stringify(GOOD)), "answer_unusable"],
  "JSON without a content type": [
    (response) => void response.writeHead(200).end(JSON.stringify(GOOD)),
    "answer_unusable",
  ],
  "an answer of 10 MiB": [
    (response) =>
      page(
        response,
        200,
        "application/json",
        JSON.stringify({ ...GOOD, filler: "x".repeat(10 * 1024 * 1024) }),
      ),
    "answer_unusable",
  ],
  "an answer that does not end": [
    (response) => {
      response.writeHead(200, { "Content-Type": "application/json" }).write("{");
    },
    "timeout",
  ],
  "no answer": [() => {}, "timeout"],
  "an answer that breaks off": [(response) => void response.destroy(), "unreachable"],
  "a list": [(response) => answerJson(response, [GOOD]), "answer_unusable"],
  null: [(response) => answerJson(response, null), "answer_unusable"],
  "no JSON": [(response) => page(response, 200, "application/json", "access_token=x"), "answer_unusable"],
  "bytes that are no UTF-8": [
    (response) => page(response, 200, "application/json", Buffer.from([0x7b, 0xff, 0x7d])),
    "answer_unusable",
  ],
  "compressed JSON": [
    (response) =>
      void response
        .writeHead(200, { "Content-Type": "application/json", "Content-Encoding": "gzip" })
        .end(JSON.stringify(GOOD)),
    "answer_unusable",
  ],
  "no token": [(response) => answerJson(response, { ...GOOD, access_token: undefined }), "answer_unusable"],
  "a token that is a number": [
    (response) => answerJson(response, { ...GOOD, access_token: 5 }),
    "answer_unusable",
  ],
  "an empty token": [(response) => answerJson(response, { ...GOOD, access_token: "" }), "answer_unusable"],
  "a token with a line break": [
    (response) => answerJson(response, { ...GOOD, access_token: "a\r\nX-Evil: 1" }),
    "answer_unusable",
  ],
  "a token of 60 KiB": [
    (response) => answerJson(response, { ...GOOD, access_token: "x".repeat(60 * 1024) }),
    "answer_unusable",
  ],
  "another type of token": [
    (response) => answerJson(response, { ...GOOD, token_type: "DPoP" }),
    "answer_unusable",
  ],
  "no type of token": [
    (response) => answerJson(response, { ...GOOD, token_type: undefined }),
    "answer_unusable",
  ],
  "no expiry": [(response) => answerJson(response, { ...GOOD, expires_in: undefined }), "provider_refused"],
  "an expiry that is no number": [
    (response) => answerJson(response, { ...GOOD, expires_in: "soon" }),
    "answer_unusable",
  ],
  "an expiry below zero": [
    (response) => answerJson(response, { ...GOOD, expires_in: -5 }),
    "answer_unusable",
  ],
  "an expiry at once": [(response) => answerJson(response, { ...GOOD, expires_in: 0 }), "provider_refused"],
  "an expiry next year": [
    (response) => answerJson(response, { ...GOOD, expires_in: 31_536_000 }),
    "provider_refused",
  ],
  "a wider scope": [(response) => answerJson(response, { ...GOOD, scope: "read write" }), "provider_refused"],
  "a scope that is a list": [
    (response) => answerJson(response, { ...GOOD, scope: ["read"] }),
    "answer_unusable",
  ],
  "the credential as token": [
    (response) => answerJson(response, { ...GOOD, access_token: SECRET }),
    "response_blocked",
  ],
  "the credential within a token, in base64": [
    (response) =>
      answerJson(response, {
        ...GOOD,
        access_token: `x.${Buffer.from(SECRET).toString("base64url")}.y`,
      }),
    "response_blocked",
  ],
  "a refusal with a token in it": [
    (response) => answerJson(response, { error: LEAK, error_description: LEAK, ...GOOD }, 400),
    "provider_refused",
  ],
  "a refusal with a challenge": [
    (response) =>
      void response
        .writeHead(401, { "WWW-Authenticate": `Basic realm="${LEAK}"`, "Content-Type": "text/html" })
        .end(LEAK),
    "provider_refused",
  ],
  "an error of its own": [(response) => page(response, 503, "text/html", LEAK), "provider_refused"],
  "an early hint and nothing else": [
    (response) => {
      response.writeEarlyHints({ link: "</a>; rel=preload" });
      response.destroy();
    },
    "unreachable",
  ],
};

test("an error that GitHub says with the status 200 ends the grant", async () => {
  endpoint.answer = (_, response) => answerJson(response, { error: "bad_refresh_token" });
  expect(await failureOf(obtain("refresh_token"))).toMatchObject({
    ...{ failure: "provider_refused", parts: { status: 200, part: "invalid_grant" } },
  });
});

describe("a hostile token endpoint", () => {
  for (const [name, [answer, failure]] of Object.entries(HOSTILE)) {
    test(`${name}: ${failure}`, async () => {
      endpoint.answer = (_, response) => answer(response);
      const failed = await failureOf(obtain("client_credentials", failure === "timeout" ? 300 : 5_000));
      expect(failed.failure).toBe(failure);
      expect(JSON.stringify([failed.message, failed.parts, failed.stack, failed.cause])).not.toMatch(
        /the-long-lived|short-lived|an error with/,
      );
      expect(endpoint.requests.length).toBe(1);
    });
  }

  test("the same answer without a fault is a token", async () => {
    endpoint.answer = (_, response) => answerJson(response, GOOD);
    const obtained = await obtain("client_credentials");
    expect(obtained).toMatchObject({ token: { names: ["read"], type: "bearer", lifeMs: 600_000 } });
    expect(endpoint.requests[0]?.form.get("scope")).toBe("read");
  });
});

describe("a hostile endpoint that replaces the refresh token", () => {
  for (const [name, body, failure] of [
    ["a wider scope", { scope: "read write" }, "provider_refused"],
    ["no expiry", { expires_in: undefined }, "provider_refused"],
    ["another type of token", { token_type: "mac" }, "answer_unusable"],
    ["no token", { access_token: undefined }, "answer_unusable"],
    ["the old refresh token as token", { access_token: REFRESH }, "response_blocked"],
    ["the new refresh token as token", { access_token: "the-next-refresh-token" }, "response_blocked"],
  ] as const) {
    test(`${name}: the new refresh token is kept, the token is not`, async () => {
      endpoint.answer = ({ path }, response) =>
        path === "/revoke"
          ? void response.writeHead(200).end()
          : answerJson(response, { ...GOOD, refresh_token: "the-next-refresh-token", ...body });
      const obtained = await obtain("refresh_token");
      expect(obtained).toMatchObject({ replaced: { version: 2, refused: { failure } } });
      const revoked = endpoint.requests.filter(({ path }) => path === "/revoke");
      const isToken = failure !== "answer_unusable";
      expect(revoked.map(({ form }) => form.get("token"))).toEqual(
        isToken ? [{ ...GOOD, ...body }.access_token] : [],
      );
    });
  }

  test("an ID token is ignored, and the same refresh token again is no new one", async () => {
    endpoint.answer = (_, response) =>
      answerJson(response, { ...GOOD, refresh_token: REFRESH, id_token: "e30.e30.x" });
    expect(await obtain("refresh_token")).toHaveProperty("token");
  });
});

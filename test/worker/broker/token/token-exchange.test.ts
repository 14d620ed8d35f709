import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Grant } from "../../../../services/shared/broker/grant.ts";
import { newOrgId } from "../../../../services/shared/org.ts";
import { Tokens } from "../../../../services/worker/broker/token/tokens.ts";
import { exchangeTo, policyOf, sealedCredential, who } from "../../../harness/granted-credential.ts";
import { memoryKeyProvider } from "../../../harness/key-provider.ts";
import { answerJson, type ScriptedEndpoint, startScriptedEndpoint } from "../../../harness/token-endpoint.ts";

let endpoint: ScriptedEndpoint;
const org = newOrgId();
const keys = memoryKeyProvider("memory:broker");
const ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token";
const SUBJECT = "long-lived-subject-token";

beforeAll(async () => {
  endpoint = await startScriptedEndpoint();
});
afterAll(() => endpoint.close());

async function obtain(answered: object, changes: object = {}) {
  const grant: Grant = {
    ...{ type: "token_exchange", endpoint: `${endpoint.origin}/token`, scopes: ["read", "write"], who },
    ...{ lifetimeSeconds: 3600, subjectTokenType: ACCESS_TOKEN, audience: "orders", ...changes },
  };
  endpoint.requests.length = 0;
  endpoint.answer = (_, response) =>
    answerJson(response, {
      ...{ access_token: "short-lived", token_type: "bearer", expires_in: 300 },
      ...{ issued_token_type: ACCESS_TOKEN, ...answered },
    });
  const credential = await sealedCredential(keys, org, SUBJECT, policyOf(grant));
  const tokens = new Tokens(keys, exchangeTo([endpoint]));
  return await tokens.obtain({ org, credential, asked: { scopes: ["read"] }, mayExchange: true });
}

describe("token exchange (RFC 8693)", () => {
  test("sends the subject token and asks for an access token with less", async () => {
    expect(await obtain({})).toMatchObject({ token: { names: ["read"], lifeMs: 300_000 } });
    expect(Object.fromEntries(endpoint.requests[0]?.form ?? [])).toEqual({
      grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
      ...{ subject_token: SUBJECT, subject_token_type: ACCESS_TOKEN, requested_token_type: ACCESS_TOKEN },
      ...{ scope: "read", audience: "orders" },
    });
  });

  test("names the client if the policy does", async () => {
    await obtain({}, { clientId: "broker", resource: "https://orders.example.test/" });
    expect(endpoint.requests[0]?.form.get("client_id")).toBe("broker");
    expect(endpoint.requests[0]?.form.get("resource")).toBe("https://orders.example.test/");
  });

  for (const [name, answered, failure] of [
    ["a refresh token", { issued_token_type: ACCESS_TOKEN.replace("access", "refresh") }, "answer_unusable"],
    ["no type", { issued_token_type: undefined }, "answer_unusable"],
    ["no bearer token", { token_type: "N_A" }, "answer_unusable"],
    ["a wider scope", { scope: "read write" }, "provider_refused"],
    ["the subject token itself", { access_token: SUBJECT }, "response_blocked"],
  ] as const) {
    test(`an answer with ${name} is refused`, async () => {
      await expect(obtain(answered)).rejects.toMatchObject({ failure });
    });
  }
});

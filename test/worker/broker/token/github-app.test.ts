import { generateKeyPairSync } from "node:crypto";
import { importSPKI, jwtVerify } from "jose";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Grant } from "../../../../services/shared/broker/grant.ts";
import { newOrgId } from "../../../../services/shared/org.ts";
import { Tokens } from "../../../../services/worker/broker/token/tokens.ts";
import { exchangeTo, policyOf, sealedCredential, who } from "../../../harness/granted-credential.ts";
import { memoryKeyProvider } from "../../../harness/key-provider.ts";
import { answerJson, type ScriptedEndpoint, startScriptedEndpoint } from "../../../harness/token-endpoint.ts";

let endpoint: ScriptedEndpoint;
const org = newOrgId();
const keys = memoryKeyProvider("memory:broker");
const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const pem = privateKey.export({ type: "pkcs1", format: "pem" }).toString();
/** What GitHub adds to what was asked for. */
let more: Record<string, unknown> = {};

beforeAll(async () => {
  endpoint = await startScriptedEndpoint("api.example.test");
  endpoint.answer = async ({ method, path, headers, body }, response) => {
    if (method === "DELETE" && path === "/installation/token") {
      return void response.writeHead(headers.authorization === "Bearer ghs_short" ? 204 : 401).end();
    }
    const key = await importSPKI(publicKey.export({ type: "spki", format: "pem" }).toString(), "RS256");
    const jwt = headers.authorization?.replace("Bearer ", "") ?? "";
    await jwtVerify(jwt, key, { issuer: "12345", algorithms: ["RS256"], requiredClaims: ["exp", "iat"] });
    const { permissions, repositories } = JSON.parse(body);
    answerJson(
      response,
      {
        ...{ token: "ghs_short", expires_at: new Date(Date.now() + 3_600_000).toISOString() },
        permissions: { ...permissions, metadata: "read" },
        repository_selection: repositories ? "selected" : "all",
        ...(repositories && { repositories: repositories.map((name: string) => ({ name })) }),
        ...more,
      },
      201,
    );
  };
});
beforeEach(() => {
  more = {};
  endpoint.requests.length = 0;
});
afterAll(() => endpoint.close());

const grant = (): Extract<Grant, { type: "github_app" }> => ({
  ...{ type: "github_app", endpoint: `${endpoint.origin}/app/installations/77/access_tokens` },
  ...{ issuer: "12345", who, lifetimeSeconds: 3600 },
  ...{ permissions: { contents: "write", issues: "read" }, repositories: ["site", "api"] },
});
async function obtain(asked: object) {
  const credential = await sealedCredential(keys, org, pem, policyOf(grant()));
  const tokens = new Tokens(keys, exchangeTo([endpoint]));
  return await tokens.obtain({ org, credential, asked, mayExchange: true });
}

describe("a token of a GitHub App's installation", () => {
  test("is for the policy's permissions and repositories unless less is asked for", async () => {
    expect(await obtain({})).toMatchObject({
      token: { names: ["contents:write", "issues:read", "repository:api", "repository:site"] },
    });
    expect(JSON.parse(endpoint.requests[0]?.body ?? "")).toEqual({
      ...{ permissions: { contents: "write", issues: "read" }, repositories: ["api", "site"] },
    });
    expect(JSON.stringify(endpoint.requests)).not.toMatch(/PRIVATE KEY/);
  });

  test("is for less if less is asked for", async () => {
    const asked = { permissions: { contents: "read" }, repositories: ["api"] };
    expect(await obtain(asked)).toMatchObject({ token: { names: ["contents:read", "repository:api"] } });
    expect(JSON.parse(endpoint.requests[0]?.body ?? "")).toEqual(asked);
  });

  for (const [name, extra] of [
    ["another permission", { permissions: { contents: "write", issues: "read", actions: "read" } }],
    ["a higher permission", { permissions: { contents: "admin" } }],
    ["a permission of an unknown kind", { permissions: { contents: "everything" } }],
    ["permissions that are none", { permissions: null }],
    ["another repository", { repositories: [{ name: "api" }, { name: "secrets" }] }],
    ["all repositories", { repository_selection: "all", repositories: undefined }],
    ["no expiry", { expires_at: undefined }],
    ["two hours", { expires_at: new Date(Date.now() + 7_200_000).toISOString() }],
  ] as const) {
    test(`with ${name}: refused, and revoked`, async () => {
      more = extra;
      await expect(obtain({})).rejects.toMatchObject({ failure: "provider_refused" });
      expect(endpoint.requests.map(({ method }) => method)).toEqual(["POST", "DELETE"]);
    });
  }
});

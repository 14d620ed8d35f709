import { generateKeyPairSync } from "node:crypto";
import { importSPKI, jwtVerify } from "jose";
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
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const ed = generateKeyPairSync("ed25519");
const SHARED = "a-shared-secret-of-thirty-two-bytes!";

const KEYS = {
  "RS256, PKCS #8": ["RS256", rsa.privateKey.export({ type: "pkcs8", format: "pem" }), rsa.publicKey],
  "RS256, PKCS #1": ["RS256", rsa.privateKey.export({ type: "pkcs1", format: "pem" }), rsa.publicKey],
  "ES256, SEC 1": ["ES256", ec.privateKey.export({ type: "sec1", format: "pem" }), ec.publicKey],
  EdDSA: ["EdDSA", ed.privateKey.export({ type: "pkcs8", format: "pem" }), ed.publicKey],
  HS256: ["HS256", SHARED, undefined],
} as const;

beforeAll(async () => {
  endpoint = await startScriptedEndpoint();
});
afterAll(() => endpoint.close());

describe("a token endpoint that verifies the assertion", () => {
  for (const [name, [algorithm, value, publicKey]] of Object.entries(KEYS)) {
    test(`${name}: the assertion is good once, for a short time, and the key is not sent`, async () => {
      const grant: Grant = {
        ...{ type: "jwt_bearer", endpoint: `${endpoint.origin}/token`, scopes: ["read"], who },
        ...{ lifetimeSeconds: 3600, algorithm, keyId: "key-1", issuer: "app@example.test" },
        ...{ audience: `${endpoint.origin}/token`, subject: "user@example.test" },
      };
      endpoint.answer = async ({ form }, response) => {
        const key = publicKey
          ? await importSPKI(publicKey.export({ type: "spki", format: "pem" }).toString(), algorithm)
          : new TextEncoder().encode(SHARED);
        const { payload, protectedHeader } = await jwtVerify(form.get("assertion") ?? "", key, {
          ...{ issuer: "app@example.test", audience: `${endpoint.origin}/token` },
          ...{ subject: "user@example.test", algorithms: [algorithm], requiredClaims: ["jti", "iat"] },
        });
        const isShort = (payload.exp ?? 0) - (payload.iat ?? 0) <= 300;
        const isRight =
          form.get("grant_type") === "urn:ietf:params:oauth:grant-type:jwt-bearer" &&
          form.get("scope") === "read" &&
          !form.has("client_id");
        if (!isShort || !isRight || protectedHeader.kid !== "key-1") {
          return answerJson(response, { error: "invalid_grant" }, 400);
        }
        answerJson(response, { access_token: "short-lived", token_type: "bearer", expires_in: "600" });
      };
      const credential = await sealedCredential(keys, org, String(value), policyOf(grant));
      const obtained = await new Tokens(keys, exchangeTo([endpoint])).obtain({
        ...{ org, credential, asked: {}, mayExchange: true },
      });
      expect(obtained).toMatchObject({ token: { names: ["read"], lifeMs: 600_000 } });
      expect(JSON.stringify(endpoint.requests)).not.toMatch(/PRIVATE KEY|a-shared-secret/);
    });
  }

  for (const [name, algorithm, value] of [
    ["no key", "RS256", "-----BEGIN PRIVATE KEY-----\nnonsense-of-a-key\n-----END PRIVATE KEY-----"],
    ["another algorithm's key", "ES256", String(KEYS["RS256, PKCS #8"][1])],
    [
      "too short a key",
      "RS256",
      generateKeyPairSync("rsa", { modulusLength: 1024 })
        .privateKey.export({ type: "pkcs8", format: "pem" })
        .toString(),
    ],
  ] as const) {
    test(`${name} is refused, without a word of it`, async () => {
      const grant: Grant = {
        ...{ type: "jwt_bearer", endpoint: `${endpoint.origin}/token`, scopes: ["read"], who },
        ...{ lifetimeSeconds: 3600, algorithm, issuer: "app", audience: "them" },
      };
      const credential = await sealedCredential(keys, org, value, policyOf(grant));
      const work = new Tokens(keys, exchangeTo([endpoint])).obtain({
        ...{ org, credential, asked: {}, mayExchange: true },
      });
      await expect(work).rejects.toMatchObject({
        failure: "unusable_value",
        message: expect.stringMatching(
          /^the credential is (no private key as PEM|a key that [A-Z0-9]+ does not take)/,
        ),
      });
    });
  }
});

import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Grant } from "../../../../services/shared/broker/grant.ts";
import type { TokenCall } from "../../../../services/shared/broker/tokens.ts";
import { makeSealingKeyPair, openResult, toBase64Url } from "../../../../services/shared/envelope/sealing.ts";
import { newOrgId } from "../../../../services/shared/org.ts";
import type { IntentEntry } from "../../../../services/shared/receipts/receipt.ts";
import { answerToken } from "../../../../services/worker/broker/token/operation.ts";
import { Tokens } from "../../../../services/worker/broker/token/tokens.ts";
import { exchangeTo, policyOf, sealedCredential, who } from "../../../harness/granted-credential.ts";
import { memoryKeyProvider } from "../../../harness/key-provider.ts";
import { answerJson, type ScriptedEndpoint, startScriptedEndpoint } from "../../../harness/token-endpoint.ts";

let endpoint: ScriptedEndpoint;
const org = newOrgId();
const keys = memoryKeyProvider("memory:broker");
const member = { org, issuer: "https://idp.example.test", subject: "app", groups: [] };
const writer = { ...member, level: "writer" as const };

beforeAll(async () => {
  endpoint = await startScriptedEndpoint();
  endpoint.answer = (_, response) =>
    answerJson(response, { access_token: "short-lived", token_type: "bearer", expires_in: 600 });
});
afterAll(() => endpoint.close());

async function callOf(
  changes: Partial<TokenCall> = {},
  intent: Partial<IntentEntry> = {},
): Promise<TokenCall> {
  const grant: Grant = {
    ...{ type: "client_credentials", endpoint: `${endpoint.origin}/token`, clientId: "client" },
    ...{ clientAuth: "basic", scopes: ["read", "write"], who, lifetimeSeconds: 3600 },
  };
  const credential = await sealedCredential(keys, org, "the-client-secret", policyOf(grant));
  const id = randomUUID();
  const { issuer, subject } = member;
  const entry: IntentEntry = {
    ...{ type: "intent", sequence: 1, at: new Date().toISOString(), id, action: "token" },
    ...{ by: { issuer, subject, level: "writer" }, credential: credential.name, version: 1 },
    ...{ host: new URL(endpoint.origin).host, scopes: ["read", "write"], ...intent },
  };
  return {
    ...{ id, token: "a.b.c", org, credential, asked: {}, for: "caller", mayExchange: true },
    ...{ receipt: { entry, hash: "A".repeat(43) }, ...changes },
  };
}

async function answerOf(call: TokenCall, caller: Parameters<typeof answerToken>[2] = writer) {
  const tokens = new Tokens(keys, exchangeTo([endpoint]));
  let sent = 0;
  endpoint.requests.length = 0;
  try {
    const answer = await answerToken(tokens, call, caller, () => void sent++);
    return { answer, sent };
  } finally {
    tokens.close();
  }
}

describe("the operation token", () => {
  test("hands a token to whom the grant names, and says before that something is sent", async () => {
    const { answer, sent } = await answerOf(await callOf());
    expect(answer).toMatchObject({ state: "issued", token: "short-lived", scopes: ["read", "write"] });
    expect(sent).toBe(1);
  });

  test("seals it to a key, for the call's own id", async () => {
    const { publicKey, privateKey } = await makeSealingKeyPair();
    const call = await callOf({ sealTo: toBase64Url(publicKey) });
    const { answer } = await answerOf(call);
    if (answer.state !== "sealed") throw new Error("not sealed");
    const opened = await openResult(privateKey, { org, job: call.id }, answer.sealed);
    expect(JSON.parse(Buffer.from(opened).toString())).toMatchObject({ token: "short-lived" });
    expect(JSON.stringify(answer)).not.toContain("short-lived");
  });

  test("for uses it keeps the token, also if the caller may not have one", async () => {
    const call = await callOf(
      { for: "use" },
      { by: { ...{ issuer: member.issuer, subject: "app" }, level: "reader" } },
    );
    const { answer } = await answerOf(call, { ...member, level: "reader" });
    expect(answer.state).toBe("held");
    expect(JSON.stringify(answer)).not.toContain("short-lived");
  });

  const nobody = { level: "reader" as const, groups: ["nobody"] };
  const refusals: Record<string, () => Promise<[TokenCall, Parameters<typeof answerToken>[2]?]>> = {
    "not_allowed for another caller": async () => [
      await callOf({}, { by: { issuer: member.issuer, subject: "app", level: "reader" } }),
      { ...member, level: "reader" },
    ],
    "not_allowed for uses of a caller without a rule": async () => {
      const call = await callOf({ for: "use" });
      for (const rule of call.credential.policy.rules) rule.who = { level: "writer", groups: ["others"] };
      return [call, { ...member, ...nobody, org }];
    },
    "not_allowed for more than the policy": async () => [await callOf({ asked: { scopes: ["admin"] } })],
    "not_allowed for a policy without a grant": async () => {
      const call = await callOf();
      const { grant: _, ...policy } = call.credential.policy;
      return [{ ...call, credential: { ...call.credential, policy } }];
    },
    "receipt_mismatch for another host": async () => [await callOf({}, { host: "elsewhere.example.test" })],
    "receipt_mismatch for other scopes": async () => [await callOf({}, { scopes: ["read"] })],
    "receipt_mismatch for no scopes": async () => [await callOf({}, { scopes: undefined } as never)],
    "receipt_mismatch for another action": async () => [await callOf({}, { action: "use" })],
    "receipt_mismatch for another version": async () => [await callOf({}, { version: 2 })],
    "receipt_mismatch for another credential": async () => [await callOf({}, { credential: "other" })],
    "receipt_mismatch for another member": async () => [
      await callOf({}, { by: { issuer: member.issuer, subject: "eve", level: "writer" } }),
    ],
    "receipt_mismatch for a schedule": async () => [await callOf({}, { by: { schedule: "nightly" } })],
    "receipt_mismatch for another id": async () => [await callOf({}, { id: randomUUID() })],
    "malformed for a key that is none": async () => [await callOf({ sealTo: "A".repeat(87) })],
    "token_needed if the provider may not be asked": async () => [await callOf({ mayExchange: false })],
  };
  for (const [name, make] of Object.entries(refusals)) {
    test(`${name}, and nothing is sent`, async () => {
      const [call, caller] = await make();
      await expect(answerOf(call, caller)).rejects.toMatchObject({ failure: name.split(" ")[0] });
      expect(endpoint.requests).toEqual([]);
    });
  }

  test("a policy other than the sealed one does not open the credential", async () => {
    const call = await callOf();
    const grant = { ...call.credential.policy.grant, endpoint: `${endpoint.origin}/elsewhere` } as Grant;
    const changed = { ...call, credential: { ...call.credential, policy: policyOf(grant) } };
    await expect(answerOf(changed)).rejects.toMatchObject({ name: "EnvelopeRefused" });
    expect(endpoint.requests).toEqual([]);
  });
});

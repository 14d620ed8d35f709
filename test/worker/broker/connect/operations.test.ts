/** What a taken-over intake, or a member, can have the broker do by its operations: nothing without an admin's own JWT. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import type { BrokerPolicy } from "../../../../services/shared/broker/policy.ts";
import type { Intent, Receipt } from "../../../../services/shared/receipts/receipt.ts";
import { type BrokerStage, startBrokerStage } from "../../../harness/broker.ts";
import {
  type HostileProvider,
  json,
  SCOPES,
  startHostileProvider,
} from "../../../harness/hostile-provider.ts";
import { type InternalVault, startInternalVault } from "../../../harness/vault.ts";

const REDIRECT = "https://console.acme.example/callback/files";
const SECRET = "client-secret-canary-0123456789";

let internal: InternalVault;
let provider: HostileProvider;
let stage: BrokerStage;
beforeAll(async () => {
  internal = await startInternalVault(inject("vaultBinary"));
  provider = await startHostileProvider("provider.example");
  stage = await startBrokerStage(internal, { exceptions: [provider.exception] });
});
beforeEach(() => provider.reset());
afterAll(async () => {
  await stage?.stop();
  await provider?.close();
  await internal?.stop();
});

const admin = (changes: object = {}) => stage.token("org_acme", ["admin"], { sub: "ada", ...changes });
const org = () => stage.orgs.org_acme as string;
const by = () => ({ issuer: stage.issuer.issuer.issuer, subject: "ada", level: "admin" as const });

const beginning = (changes: object = {}) => ({
  ...{
    id: randomUUID(),
    token: admin(),
    org: org(),
    connection: "files",
    provider: { issuer: provider.issuer },
  },
  ...{ scopes: SCOPES, redirect: REDIRECT, clientId: "acme", hasSecret: true },
  ...{ use: { origin: "https://api.example.com", rules: [] } },
  ...changes,
});

const secretPolicy = (origin: string): BrokerPolicy => ({
  origin,
  inject: { basic: { user: "acme" } },
  rules: [],
});
async function sealedSecret(origin = provider.issuer, changes: Partial<BrokerPolicy> = {}) {
  const policy = { ...secretPolicy(origin), ...changes };
  return {
    name: "client",
    version: 1,
    policy,
    material: await stage.seal(SECRET, policy, { name: "client" }),
  };
}

const receiptOf = (intent: Intent): Receipt => ({
  entry: { type: "intent", sequence: 1, at: new Date().toISOString(), ...intent },
  hash: "A".repeat(43),
});

/** A call that completes a flow, as an honest intake would send it. */
async function completion(changes: object = {}, intentChanges: Partial<Intent> = {}) {
  const call = beginning();
  const { json: begun } = await stage.ask("connection-begin", call);
  const asked = new URL(String(begun.url)).searchParams;
  provider.answers["/token"] = async (_, response) =>
    json(response, 200, await provider.tokens("acme", asked.get("nonce") ?? undefined));
  const id = randomUUID();
  const query = new URLSearchParams({
    code: "the-code",
    state: asked.get("state") ?? "",
    iss: provider.issuer,
  });
  const intent: Intent = {
    ...{ id, action: "connect", by: by(), credential: "files", version: 1, host: String(begun.host) },
    ...{ method: "POST", scopes: SCOPES },
    ...intentChanges,
  };
  return {
    ...{ id, token: admin(), org: org(), receipt: receiptOf(intent), connection: "files", version: 1 },
    ...{ flow: { id: call.id, envelope: String(begun.flow) }, callback: `${REDIRECT}?${query}` },
    secret: await sealedSecret(),
    ...changes,
  };
}

const wasAskedForToken = () => provider.asked.some(({ path }) => path === "/token");

test("an honest intake passes", async () => {
  const { status, json: made } = await stage.ask("connection-complete", await completion());
  expect(status, JSON.stringify(made)).toBe(200);
  expect(made).toMatchObject({ scopes: SCOPES, policy: { origin: "https://api.example.com" } });
  expect(JSON.stringify(made)).not.toMatch(/canary/);
  expect(stage.log.join("")).not.toMatch(/canary/);
});

describe("nothing begins, completes or ends", () => {
  const CALLERS: [who: string, failure: string, token: () => string, of?: () => string][] = [
    ["a writer", "forbidden", () => stage.token("org_acme", ["writer"], { sub: "ada" })],
    ["a reader", "forbidden", () => stage.token("org_acme", [], { sub: "ada" })],
    ["an auditor", "forbidden", () => stage.token("org_acme", ["auditor"], { sub: "ada" })],
    ["another organization's admin", "forbidden", () => stage.token("org_globex", ["admin"], { sub: "ada" })],
    [
      "an admin whose token has expired",
      "unauthenticated",
      () => admin({ exp: Math.floor(Date.now() / 1000) - 60 }),
    ],
    ["no JWT", "unauthenticated", () => "a.b.c"],
    ["an admin, for another organization", "forbidden", () => admin(), () => stage.orgs.org_globex as string],
  ];
  test.each(CALLERS)("for %s", async (_, failure, token, of = org) => {
    const caller = { token: token(), org: of() };
    const call = await completion(caller);
    const credential = {
      name: "files",
      version: 1,
      policy: call.secret.policy,
      material: call.secret.material,
    };
    const revoke = {
      ...caller,
      id: call.id,
      receipt: call.receipt,
      credential,
      clientId: "acme",
      provider: "github",
    };
    provider.asked = [];
    for (const [operation, body] of [
      ["connection-begin", beginning(caller)],
      ["connection-complete", call],
      ["connection-revoke", revoke],
    ] as const) {
      expect((await stage.ask(operation, body)).json, operation).toMatchObject({ failure, isSent: false });
    }
    expect(provider.asked).toEqual([]);
  });
});

describe("a code is not exchanged with a receipt that says something else:", () => {
  const CHANGES: [what: string, intent: () => Partial<Intent>][] = [
    ["another id", () => ({ id: randomUUID() })],
    ["another action", () => ({ action: "use" })],
    ["another subject", () => ({ by: { ...by(), subject: "bob" } })],
    ["another issuer", () => ({ by: { ...by(), issuer: "https://evil.example" } })],
    ["another level", () => ({ by: { ...by(), level: "reader" } })],
    ["a schedule", () => ({ by: { schedule: "nightly" } })],
    ["another credential", () => ({ credential: "mail" })],
    ["another version", () => ({ version: 2 })],
    ["another host", () => ({ host: "api.example.com" })],
    ["another method", () => ({ method: "GET" })],
    ["fewer scopes", () => ({ scopes: ["openid"] })],
    ["more scopes", () => ({ scopes: [...SCOPES, "files.write"] })],
    ["a rule", () => ({ rule: "all" })],
    ["a reason", () => ({ reason: "because I can" })],
  ];
  test.each(CHANGES)("%s", async (_, intent) => {
    const answer = await stage.ask("connection-complete", await completion({}, intent()));
    expect(answer.json).toMatchObject({ failure: "receipt_mismatch", isSent: false });
    expect(wasAskedForToken()).toBe(false);
  });

  test("a completion instead of an intent", async () => {
    const { entry, hash } = receiptOf({} as Intent);
    const done = { outcome: "answered", sentBytes: 0, receivedBytes: 0, ms: 0, scrubbed: 0 };
    const receipt = {
      hash,
      entry: { ...done, type: "completion", sequence: 2, at: entry.at, of: 1, id: "x" },
    };
    const answer = await stage.ask("connection-complete", await completion({ receipt }));
    expect(answer.json).toMatchObject({ failure: "receipt_mismatch", isSent: false });
    expect(wasAskedForToken()).toBe(false);
  });
});

describe("a taken-over intake", () => {
  test("does not read a flow: state and verifier are only in the envelope and the URL", async () => {
    const { json: begun } = await stage.ask("connection-begin", beginning());
    expect(Object.keys(begun).sort()).toEqual(["flow", "host", "url"]);
    expect([...new URL(String(begun.url)).searchParams.keys()]).not.toContain("code_verifier");
  });

  test.each([
    ["member", { token: () => admin({ sub: "bob" }) }, "callback_refused"],
    ["connection", { connection: () => "mail" }, "callback_refused"],
  ] as const)("does not complete a flow for another %s", async (_, changes, failure) => {
    const changed = Object.fromEntries(Object.entries(changes).map(([name, make]) => [name, make()]));
    const answer = await stage.ask("connection-complete", await completion(changed));
    expect(answer.json).toMatchObject({ failure, isSent: false });
    expect(wasAskedForToken()).toBe(false);
  });

  test("does not have a client's secret sent to another provider", async () => {
    const secret = await sealedSecret("https://login.example.com");
    const answer = await stage.ask("connection-complete", await completion({ secret }));
    expect(answer.json).toMatchObject({ failure: "not_allowed", part: "secretCredential" });
    expect(wasAskedForToken()).toBe(false);
  });

  test.each<[string, BrokerPolicy["inject"]]>([
    ["sent in a header", { header: "Authorization", format: "Bearer {}" }],
    ["another client's", { basic: { user: "other" } }],
    [
      "signed with",
      { hmac: { header: "X-A", format: "{}", algorithm: "sha256", encoding: "hex", template: "{path}" } },
    ],
  ])("does not have a key of the provider's origin that is %s sent as a client's secret", async (_, inject) => {
    const secret = await sealedSecret(provider.issuer, { inject });
    const answer = await stage.ask("connection-complete", await completion({ secret }));
    expect(answer.json).toMatchObject({ failure: "not_allowed", part: "secretCredential" });
    expect(wasAskedForToken()).toBe(false);
  });

  test("does not have a key revoked, or sent, by naming a provider that it is not of", async () => {
    const policy = secretPolicy(provider.issuer);
    const credential = {
      name: "client",
      version: 1,
      policy,
      material: await stage.seal(SECRET, policy, { name: "client" }),
    };
    const id = randomUUID();
    const intent = {
      id,
      action: "revoke",
      by: by(),
      credential: "client",
      version: 1,
      host: "slack.com",
    } as const;
    const call = { id, token: admin(), org: org(), receipt: receiptOf(intent), credential };
    for (const named of ["github", "slack", "google"]) {
      const answer = await stage.ask("connection-revoke", { ...call, provider: named, clientId: "acme" });
      expect(answer).toMatchObject({ status: 200, json: { outcome: "unsupported" } });
    }
    expect(provider.asked).toEqual([]);
  });

  test("does not send what the operations do not know", async () => {
    for (const operation of ["connection-begin", "connection-complete", "connection-revoke"]) {
      const answer = await stage.ask(operation, { ...beginning(), more: 1 });
      expect(answer).toMatchObject({ status: 400, json: { failure: "malformed", isSent: false } });
    }
  });
});

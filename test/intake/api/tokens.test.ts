import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Grant } from "../../../services/shared/broker/grant.ts";
import { makeSealingKeyPair, openResult, toBase64Url } from "../../../services/shared/envelope/sealing.ts";
import { type BrokeredStage, startBrokeredIntakes } from "../../harness/brokered-intakes.ts";
import { policyOf, who } from "../../harness/granted-credential.ts";
import { CLIENT, type OAuthProvider, startOAuthProvider } from "../../harness/oauth-provider.ts";
import { answerJson, type ScriptedEndpoint, startScriptedEndpoint } from "../../harness/token-endpoint.ts";

let provider: OAuthProvider;
/** Answers uses: with the token that it was sent. */
let api: ScriptedEndpoint;
let brokered: BrokeredStage;
const SCOPES = ["read", "write", "offline_access"];

beforeAll(async () => {
  provider = await startOAuthProvider();
  api = await startScriptedEndpoint("api.example.test");
  api.answer = ({ headers }, response) =>
    answerJson(response, { known: headers.authorization !== undefined });
  brokered = await startBrokeredIntakes({
    pairs: 2,
    exceptions: [provider.exception, api.exception],
    ports: [provider.port, api.port],
  });
});
afterAll(async () => {
  await brokered?.close();
  await api.close();
  await provider.close();
});

const clientGrant = (changes: Partial<Grant> = {}): Grant =>
  ({
    ...{ type: "client_credentials", endpoint: `${provider.origin}/token`, clientId: CLIENT.id },
    ...{ clientAuth: "basic", scopes: ["read", "write"], who, lifetimeSeconds: 3600, ...changes },
  }) as Grant;
const refreshGrant = (): Grant => ({
  ...{ type: "refresh_token", endpoint: `${provider.origin}/token`, clientId: CLIENT.id },
  ...{ clientAuth: "basic", scopes: SCOPES, who, lifetimeSeconds: 3600 },
});

async function put(name: string, value: string, grant: Grant): Promise<void> {
  const destination = { ...policyOf(grant), origin: api.origin };
  const body = { purpose: "broker", destination, value };
  const answer = await call("PUT", `/v1/credentials/${name}`, { level: "admin", body });
  if (answer.status >= 300) throw new Error(answer.text);
}

interface Call {
  level?: "writer" | "admin" | undefined;
  claim?: string;
  body?: unknown;
  at?: number;
}
async function call(method: string, path: string, { level = "writer", claim, body, at = 0 }: Call = {}) {
  const intake = brokered.intakes[at];
  if (!intake) throw new Error("no such intake");
  const token = brokered.stage.token(level, claim);
  return await intake.call(method, path, { token, ...(body !== undefined && { body }) });
}
const exchange = (name: string, body: object = {}, options: Call = {}) =>
  call("POST", `/v1/credentials/${name}/token`, { ...options, body });

describe("POST /v1/credentials/:name/token", () => {
  test("returns a short-lived token that the provider knows, and what it is for", async () => {
    await put("client", CLIENT.secret, clientGrant());
    const { status, json, headers } = await exchange("client", { scopes: ["read"] });
    expect(status).toBe(200);
    expect(headers.get("cache-control")).toBe("no-store");
    expect(json).toEqual({
      ...{ token: expect.any(String), type: "bearer", scopes: ["read"] },
      ...{ expiresAt: expect.any(String), receipt: expect.stringMatching(/^[0-9a-f-]{36}$/) },
    });
    expect(Date.parse(json.expiresAt) - Date.now()).toBeLessThanOrEqual(3_600_000);
    expect((await provider.provider.ClientCredentials.find(json.token))?.scope).toBe("read");
  });

  test("seals it to the caller's key, so that the intake does not see it", async () => {
    await put("sealed", CLIENT.secret, clientGrant());
    const { publicKey, privateKey } = await makeSealingKeyPair();
    const { status, json, text } = await exchange("sealed", { sealTo: toBase64Url(publicKey) });
    expect(status).toBe(200);
    const { org, job, ...sealed } = json.sealed;
    expect([org, job]).toEqual([brokered.stage.acme, json.receipt]);
    const opened = JSON.parse(Buffer.from(await openResult(privateKey, { org, job }, sealed)).toString());
    expect(await provider.provider.ClientCredentials.find(opened.token)).toBeDefined();
    expect(opened).toMatchObject({ type: "bearer", expiresAt: json.expiresAt, scopes: json.scopes });
    expect(text).not.toContain(opened.token);
    const { enc, ciphertext } = sealed;
    const other = { org, job: "another" };
    await expect(openResult(privateKey, other, { enc, ciphertext })).rejects.toThrow();
  });

  test("refuses, with the part: who, more than the policy, another grant's parts, no grant", async () => {
    await put("narrow", CLIENT.secret, clientGrant());
    const { asked } = provider;
    const refused = async (body: object, options: Call = {}, name = "narrow") => {
      const { status, json } = await exchange(name, body, options);
      return [status, json.code, json.errors?.[0].pointer];
    };
    expect(await refused({ scopes: ["admin"] })).toEqual([403, "use_not_allowed", "/body/scopes"]);
    expect(await refused({ repositories: ["x"] })).toEqual([403, "use_not_allowed", "/body/repositories"]);
    const reader = await brokered.intakes[0]?.call("POST", "/v1/credentials/narrow/token", {
      ...{ token: brokered.stage.token(), body: {} },
    });
    expect([reader?.status, reader?.json.errors[0].pointer]).toEqual([403, "/body/who"]);
    expect(await refused({}, {}, "none")).toEqual([404, "not_found", undefined]);
    expect(await refused({}, { claim: "org_globex" })).toEqual([404, "not_found", undefined]);
    expect((await refused({ seconds: 5 }))[0]).toBe(400);
    expect((await refused({ scopes: [] }))[0]).toBe(400);
    expect((await refused({ audience: "another" }))[0]).toBe(400);
    expect(await refused({ sealTo: "A".repeat(87) })).toEqual([422, "invalid_value", "/body/sealTo"]);
    const { grant: _, ...plain } = { ...policyOf(clientGrant()), origin: api.origin };
    const inject = { header: "Authorization", format: "Bearer {}" };
    const body = { purpose: "broker", destination: { ...plain, inject }, value: "a-static-key" };
    await call("PUT", "/v1/credentials/static", { level: "admin", body });
    expect(await refused({}, {}, "static")).toEqual([403, "use_not_allowed", "/body/grant"]);
    await call("POST", "/v1/credentials/narrow/disable", { level: "admin" });
    expect(await refused({})).toEqual([409, "credential_disabled", undefined]);
    expect(provider.asked).toBe(asked);
  });

  test("a provider that refuses is 502, and one that does not answer 504 or 502, with the receipt", async () => {
    await put("wrong", "not-the-secret", clientGrant());
    const wrong = await exchange("wrong");
    expect([wrong.status, wrong.json.code]).toEqual([502, "provider_refused"]);
    expect(wrong.json.detail).toMatch(/status 401, invalid_client.*The receipt is [0-9a-f-]{36}\.$/);
    const endpoint = `https://away.example.test:${provider.port}/token`;
    await put("away", CLIENT.secret, clientGrant({ endpoint } as Partial<Grant>));
    expect((await exchange("away")).json.code).toMatch(/^destination_(unreachable|timeout)$/);
    await put("long", CLIENT.secret, clientGrant({ lifetimeSeconds: 600 }));
    const long = await exchange("long");
    expect([long.status, long.json.detail]).toEqual([502, expect.stringMatching(/lives for 3600 seconds/)]);
  });

  test("a refresh token that its provider has revoked is 409 until it is put anew", async () => {
    const refreshToken = await provider.newRefreshToken(SCOPES);
    await put("lost", JSON.stringify({ refreshToken, clientSecret: CLIENT.secret }), refreshGrant());
    await (await provider.provider.RefreshToken.find(refreshToken))?.destroy();
    for (const at of [0, 1]) {
      const { status, json } = await exchange("lost", {}, { at });
      expect([status, json.code]).toEqual([409, "grant_lost"]);
    }
  });

  test("leaves a receipt of each, and nothing of a token or a secret in any log, receipt or store", async () => {
    await put("quiet", CLIENT.secret, clientGrant());
    const { json } = await exchange("quiet");
    const refreshToken = await provider.newRefreshToken(SCOPES);
    await put("turned", JSON.stringify({ refreshToken, clientSecret: CLIENT.secret }), refreshGrant());
    const turned = await exchange("turned");
    expect(turned.status).toBe(200);
    const { folder, log } = brokered.stage;
    const files = (await readdir(folder)).filter((name) => name.startsWith("store.sqlite"));
    const stored = await Promise.all(files.map((name) => readFile(join(folder, name), "latin1")));
    expect(stored.join("")).toContain(json.receipt);
    const all = [...log, ...brokered.brokerLog, ...stored].join("\n");
    for (const secret of [json.token, turned.json.token, refreshToken, CLIENT.secret]) {
      expect(all).not.toContain(secret);
      expect(all).not.toContain(Buffer.from(secret).toString("base64").slice(0, -3));
    }
  });
});

describe("rules that are changed", () => {
  test("at the same time as tokens are refreshed: the grant is not lost", async () => {
    const refreshToken = await provider.newRefreshToken(SCOPES);
    await put("changed", JSON.stringify({ refreshToken, clientSecret: CLIENT.secret }), refreshGrant());
    const change = (round: number) => {
      const rules = [{ id: `round-${round}`, methods: ["GET"], paths: ["/**"], who: { level: "writer" } }];
      return call("PUT", "/v1/credentials/changed/rules", { level: "admin", body: { rules }, at: round % 2 });
    };
    for (let round = 0; round < 10; round++) {
      const answers = await Promise.all([
        exchange("changed", {}, { at: 0 }),
        change(round),
        exchange("changed", { scopes: ["read"] }, { at: 1 }),
      ]);
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    }
    const { json } = await call("GET", "/v1/credentials/changed/rules");
    expect(json.rules[0].id).toBe("round-9");
  });
});

describe("uses that send a token", () => {
  test("have it obtained once, with its rotation stored, and go on with it", async () => {
    const refreshToken = await provider.newRefreshToken(SCOPES);
    await put("used", JSON.stringify({ refreshToken, clientSecret: CLIENT.secret }), refreshGrant());
    const before = provider.refreshed;
    const use = (at: number) => call("GET", "/v1/use/used/v1/me", { at });
    const answers = await Promise.all(Array.from({ length: 12 }, (_, index) => use(index % 2)));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    // Each of the two brokers has asked once.
    expect(provider.refreshed).toBe(before + 2);
    const sent = new Set(api.requests.map(({ headers }) => headers.authorization));
    expect(sent.size).toBe(2);
    for (const value of sent) {
      expect(await provider.provider.AccessToken.find(value?.replace("Bearer ", "") ?? "")).toBeDefined();
    }
    const { json } = await call("GET", "/v1/credentials/used");
    expect(
      json.versions.map(({ version, sealedBy }: Record<string, unknown>) => [version, sealedBy]),
    ).toEqual([
      ...[
        [3, "broker"],
        [1, "platform"],
      ],
    ]);
  });
});

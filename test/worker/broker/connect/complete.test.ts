import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ConnectionBegin, ConnectionComplete } from "../../../../services/shared/broker/connections.ts";
import { type BrokerPolicy, brokerPolicyHash } from "../../../../services/shared/broker/policy.ts";
import { seal } from "../../../../services/shared/envelope/envelope.ts";
import { newOrgId } from "../../../../services/shared/org.ts";
import { beginConnection, type ConnectParts } from "../../../../services/worker/broker/connect/begin.ts";
import { checkedFlow, completeConnection } from "../../../../services/worker/broker/connect/complete.ts";
import { revokeConnection } from "../../../../services/worker/broker/connect/revoke.ts";
import { openCredential } from "../../../../services/worker/open-credential.ts";
import { createExchange } from "../../../../services/worker/outbound/exchange.ts";
import { memoryKeyProvider } from "../../../harness/key-provider.ts";
import { CLIENT, type OidcProvider, startOidcProvider } from "../../../harness/oidc-provider.ts";

const REDIRECT = "http://127.0.0.1:45454/callback/calendar";
const ORG = newOrgId();
const MEMBER = "0123456789abcdef";
const keys = memoryKeyProvider("broker");
const never = new AbortController().signal;
const rules: BrokerPolicy["rules"] = [
  { id: "read", methods: ["GET"], paths: ["/api/**"], who: { level: "writer" } },
];

let op: OidcProvider;
let parts: ConnectParts;
beforeAll(async () => {
  op = await startOidcProvider(["http://127.0.0.1/callback/calendar"]);
  const privateDestinations = new Map([[op.issuer, op.exception]]);
  parts = { keys, exchange: createExchange({ privateDestinations }), now: Date.now };
});
afterAll(() => op.close());

const beginning = (changes: Partial<ConnectionBegin> = {}): ConnectionBegin => ({
  ...{ id: randomUUID(), token: "jwt", org: ORG, connection: "calendar", provider: { issuer: op.issuer } },
  ...{ scopes: ["openid", "offline_access", "calendar.read"], redirect: REDIRECT, clientId: CLIENT.id },
  ...{ hasSecret: true, use: { origin: "https://api.example.com", rules } },
  ...changes,
});

/** The client's secret as the store has it. */
async function storedSecret(origin = op.issuer) {
  const policy: BrokerPolicy = { origin, inject: { basic: { user: CLIENT.id } }, rules: [] };
  const context = { org: ORG, credential: "client", version: "3", purpose: "broker" } as const;
  const value = new TextEncoder().encode(CLIENT.secret);
  const envelope = await seal(keys, { ...context, policy: brokerPolicyHash(policy) }, value);
  return {
    name: "client",
    version: 3,
    policy,
    material: { envelope: Buffer.from(envelope).toString("base64") },
  };
}

async function connect(changes: Partial<ConnectionBegin> = {}) {
  const call = beginning(changes);
  const begun = await beginConnection(parts, call, MEMBER, never);
  const callback = await op.authorize(begun.url);
  const complete: ConnectionComplete = {
    ...{ id: randomUUID(), token: "jwt", org: ORG, connection: call.connection, version: 1, callback },
    ...{ receipt: {} as never, flow: { id: call.id, envelope: begun.flow } },
    ...(call.hasSecret && { secret: await storedSecret() }),
  };
  const finish = async () =>
    completeConnection(parts, complete, await checkedFlow(parts, complete, MEMBER), {
      within: never,
      gone: never,
    });
  return { call, begun, callback, complete, finish };
}

describe("a connection with a certified provider", () => {
  test("asks by PKCE, state and nonce, and shows none of the verifier", async () => {
    const { url, flow, host } = await beginConnection(parts, beginning(), MEMBER, never);
    const { origin, searchParams } = new URL(url);
    expect(origin).toBe(op.issuer);
    expect(host).toBe(new URL(op.issuer).host);
    expect(Object.fromEntries(searchParams)).toEqual({
      response_type: "code",
      client_id: CLIENT.id,
      redirect_uri: REDIRECT,
      state: expect.stringMatching(/^[\w-]{43}$/),
      scope: "openid offline_access calendar.read",
      nonce: expect.stringMatching(/^[\w-]{43}$/),
      code_challenge: expect.stringMatching(/^[\w-]{43}$/),
      code_challenge_method: "S256",
      prompt: "consent",
    });
    const sealed = Buffer.from(flow, "base64").toString("latin1");
    expect(sealed).not.toContain(searchParams.get("state"));
  });

  test("ends in a refresh token that only the policy opens", async () => {
    const { finish } = await connect();
    const { policy, envelope, scopes } = await finish();
    expect(new Set(scopes)).toEqual(new Set(["openid", "offline_access", "calendar.read"]));
    expect(policy).toMatchObject({
      origin: "https://api.example.com",
      inject: { token: { header: "Authorization", format: "Bearer {}" } },
      rules,
      grant: {
        ...{ type: "refresh_token", clientId: CLIENT.id, clientAuth: "basic", who: { level: "admin" } },
        ...{ endpoint: `${op.issuer}/token`, revocation: `${op.issuer}/token/revocation` },
      },
    });
    const context = { org: ORG, credential: "calendar", version: "1", purpose: "broker" } as const;
    const bytes = await openCredential(keys, { ...context, policy: brokerPolicyHash(policy) }, { envelope });
    const value = JSON.parse(Buffer.from(bytes).toString("utf8"));
    expect(value).toEqual({ refreshToken: expect.any(String), clientSecret: CLIENT.secret });
    expect(await op.provider.RefreshToken.find(value.refreshToken)).toBeDefined();
  });

  test("ends at the provider when it is revoked", async () => {
    const { finish } = await connect();
    const { policy, envelope } = await finish();
    const credential = { name: "calendar", version: 1, policy, material: { envelope } };
    const context = { org: ORG, credential: "calendar", version: "1", purpose: "broker" } as const;
    const bytes = await openCredential(keys, { ...context, policy: brokerPolicyHash(policy) }, { envelope });
    const { refreshToken } = JSON.parse(Buffer.from(bytes).toString("utf8"));
    const call = {
      ...{ id: randomUUID(), token: "jwt", org: ORG, receipt: {} as never, credential, clientId: CLIENT.id },
      provider: { issuer: op.issuer },
    };
    expect(await revokeConnection(parts, call, never)).toEqual({ outcome: "revoked" });
    expect(await op.provider.RefreshToken.find(refreshToken)).toBeUndefined();
  });

  test("works for a client without a secret", async () => {
    const { finish } = await connect({ clientId: "strongroom-public", hasSecret: false });
    const { policy } = await finish();
    expect(policy.grant).toMatchObject({ clientAuth: "none", clientId: "strongroom-public" });
  });

  test("shows fewer scopes if the provider grants fewer", async () => {
    const { finish } = await connect({ scopes: ["offline_access", "openid", "calendar.read", "no.such"] });
    expect((await finish()).scopes).not.toContain("no.such");
  });
});

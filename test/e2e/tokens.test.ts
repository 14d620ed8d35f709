import { afterAll, beforeAll, beforeEach, expect, inject, test } from "vitest";
import { sqliteStore } from "../../services/intake/store/sqlite.ts";
import type { BrokerPolicy } from "../../services/shared/broker/policy.ts";
import { type CredentialPlatform, startCredentialPlatform } from "../harness/credentials.ts";
import type { Effect } from "../harness/destination.ts";
import type { Part } from "../harness/part.ts";
import { answerJson } from "../harness/token-endpoint.ts";

/*
 * Intake and broker as processes under the flags of production, with a real internal Vault. The destination is also the
 * provider of tokens: it replaces the refresh token at each use, and takes a second use of one for theft.
 */

let platform: CredentialPlatform;
let writer: string;
/** The only refresh token that the provider accepts; undefined once it has revoked the grant. */
let current: string | undefined;
let refreshed = 0;
/** Called when the provider has replaced the refresh token, before it answers. */
let onRefresh: (() => Promise<unknown>) | undefined;

beforeAll(async () => {
  platform = await startCredentialPlatform(inject("vaultBinary"), { workers: ["broker"] });
  writer = platform.token("org_acme", "writer");
});
afterAll(() => platform?.stop());
beforeEach(() => {
  [refreshed, onRefresh] = [0, undefined];
  platform.destination.clear();
  platform.destination.answer = (effect, response) => {
    if (effect.url === "/token") void answerToken(effect, response);
    else answerJson(response, { authorization: effect.headers.authorization });
  };
});

async function answerToken({ body }: Effect, response: Parameters<typeof answerJson>[0]): Promise<void> {
  const form = new URLSearchParams(body.toString());
  const isCurrent = current !== undefined && form.get("refresh_token") === current;
  current = isCurrent ? `refresh-token-${crypto.randomUUID()}` : undefined;
  if (!isCurrent) return answerJson(response, { error: "invalid_grant" }, 400);
  refreshed++;
  const token = { access_token: `access-${refreshed}-${crypto.randomUUID()}`, token_type: "bearer" };
  await onRefresh?.();
  answerJson(response, { ...token, expires_in: 900, refresh_token: current, scope: form.get("scope") });
}

async function put(name: string): Promise<void> {
  current = `refresh-token-${crypto.randomUUID()}`;
  const { origin } = platform.destination;
  const destination: BrokerPolicy = {
    ...{ origin, inject: { token: { header: "Authorization", format: "Bearer {}" } } },
    rules: [{ id: "all", methods: ["GET"], paths: ["/v1/**"], who: { level: "writer" } }],
    grant: {
      ...{ type: "refresh_token", endpoint: `${origin}/token`, clientId: "app", clientAuth: "none" },
      ...{ scopes: ["read"], who: { level: "writer" }, lifetimeSeconds: 900 },
    },
  };
  const value = JSON.stringify({ refreshToken: current });
  const admin = platform.token("org_acme", "admin");
  const body = { purpose: "broker", destination, value };
  const answer = await platform.api("PUT", `/v1/credentials/${name}`, admin, { body });
  if (answer.status >= 300) throw new Error(JSON.stringify(answer.body));
}
const exchange = (name: string) =>
  platform.api<{ token: string; code: string }>("POST", `/v1/credentials/${name}/token`, writer, {
    body: {},
  });
const use = (name: string) => platform.api<{ authorization: string }>("GET", `/v1/use/${name}/v1/me`, writer);

/** Kills a process when the provider has replaced the refresh token, and before it has answered. Resolves once it is dead. */
function killWhenRefreshed(part: Part): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  onRefresh = async () => {
    onRefresh = undefined;
    await part.kill("SIGKILL");
    resolve();
  };
  return promise;
}

test("a token is handed out and used, and the provider's new refresh token is the one that is stored", async () => {
  await put("crm");
  const { status, body } = await exchange("crm");
  expect([status, refreshed]).toEqual([200, 1]);
  const used = await use("crm");
  // The answer repeats the token, which is removed.
  expect([used.status, used.body.authorization]).toEqual([200, "Bearer [removed]"]);
  const sent = platform.destination.effects.filter(({ url }) => url === "/v1/me");
  expect(sent.map(({ headers }) => headers.authorization)).toEqual([`Bearer ${body.token}`]);
  expect(refreshed).toBe(1);
});

test("an intake that is killed between the exchange and its write does not lose the grant", async () => {
  await put("killed");
  const killed = killWhenRefreshed(platform.intake);
  await expect(exchange("killed")).rejects.toThrow();
  await killed;
  await platform.intake.start();
  // As if the minute of the lease had passed.
  const store = await sqliteStore(platform.storeFile);
  const org = platform.orgs.org_acme ?? "";
  await store.write([{ partition: `org/${org}/grant-leases`, sort: "killed", remove: true }]);
  await store.close();
  expect((await exchange("killed")).status).toBe(200);
  expect((await use("killed")).status).toBe(200);
  expect([refreshed, current]).toEqual([1, expect.any(String)]);
});

test("a broker that is killed after the exchange loses the grant, which is told and not tried again", async () => {
  await put("lost");
  const [broker] = platform.workers;
  if (!broker) throw new Error("there is no broker");
  const killed = killWhenRefreshed(broker);
  const failed = await exchange("lost");
  expect([failed.status, failed.body.code]).toEqual([503, "broker_unavailable"]);
  await killed;
  await broker.start();
  for (let attempt = 0; attempt < 3; attempt++) {
    const { status, body } = await exchange("lost");
    expect([status, body.code]).toEqual([409, "grant_lost"]);
  }
  expect((await use("lost")).status).toBe(409);
  expect(platform.destination.effects.filter(({ url }) => url === "/token").length).toBe(2);
});

/** How the providers of the registry differ from the standards, as their documentation says. */
import { randomUUID } from "node:crypto";
import { connect } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { ConnectionBegin, ConnectionMade } from "../../../../services/shared/broker/connections.ts";
import { type BrokerPolicy, brokerPolicyHash } from "../../../../services/shared/broker/policy.ts";
import type { ProviderName } from "../../../../services/shared/broker/providers.ts";
import { seal } from "../../../../services/shared/envelope/envelope.ts";
import { newOrgId } from "../../../../services/shared/org.ts";
import { beginConnection, type ConnectParts } from "../../../../services/worker/broker/connect/begin.ts";
import { checkedFlow, completeConnection } from "../../../../services/worker/broker/connect/complete.ts";
import { revokeConnection } from "../../../../services/worker/broker/connect/revoke.ts";
import { openCredential } from "../../../../services/worker/open-credential.ts";
import { createExchange } from "../../../../services/worker/outbound/exchange.ts";
import { type HostileProvider, json, startHostileProvider } from "../../../harness/hostile-provider.ts";
import { memoryKeyProvider } from "../../../harness/key-provider.ts";

const HOSTS = [
  "github.com",
  "api.github.com",
  "slack.com",
  "oauth2.googleapis.com",
  "www.googleapis.com",
] as const;
const SECRET = "client-secret-canary-0123456789";
const ORG = newOrgId();
const keys = memoryKeyProvider("broker");
const never = new AbortController().signal;

const hosts = {} as Record<(typeof HOSTS)[number], HostileProvider>;
let parts: ConnectParts;
beforeAll(async () => {
  // Addresses of their own, since they are not at the ports that their origins name.
  for (const [index, host] of HOSTS.entries())
    hosts[host] = await startHostileProvider(host, `127.0.0.${index + 2}`);
  const all = Object.entries(hosts);
  const ports = new Map(
    all.map(([, { issuer, exception }]) => [exception.address, Number(new URL(issuer).port)]),
  );
  const exceptions = all.map(([host, { exception }]) => ({ ...exception, origin: `https://${host}` }));
  const exchange = createExchange({
    privateDestinations: new Map(exceptions.map((each) => [each.origin, each])),
    connect: (address) => connect({ host: address, port: ports.get(address) as number }),
  });
  parts = { keys, exchange, now: Date.now };
});
beforeEach(() => {
  for (const host of HOSTS) hosts[host].reset();
});
afterAll(async () => {
  for (const host of HOSTS) await hosts[host].close();
});

const sealedFor = async (name: string, version: number, policy: BrokerPolicy, value: string) => {
  const context = { org: ORG, credential: name, version: String(version), purpose: "broker" } as const;
  const envelope = await seal(keys, { ...context, policy: brokerPolicyHash(policy) }, Buffer.from(value));
  return { name, version, policy, material: { envelope: Buffer.from(envelope).toString("base64") } };
};

const secretFor = (origin: string) =>
  sealedFor("client", 1, { origin, inject: { basic: { user: "acme" } }, rules: [] }, SECRET);

async function connectTo(
  provider: ProviderName,
  secretOrigin: string,
  changes: Partial<ConnectionBegin> = {},
) {
  const call: ConnectionBegin = {
    ...{ id: randomUUID(), token: "jwt", org: ORG, connection: "it", provider, scopes: ["one", "two"] },
    ...{ redirect: "https://console.acme.example/callback/it", clientId: "acme", hasSecret: true },
    ...{ use: { rules: [] }, ...changes },
  };
  const { url, flow } = await beginConnection(parts, call, "member", never);
  const asked = new URL(url).searchParams;
  const finish = async (more: Record<string, string> = {}): Promise<ConnectionMade> => {
    const query = new URLSearchParams({ code: "the-code", state: asked.get("state") ?? "", ...more });
    const completion = {
      ...{ id: randomUUID(), token: "jwt", org: ORG, receipt: {} as never, connection: "it", version: 1 },
      ...{ flow: { id: call.id, envelope: flow }, callback: `${call.redirect}?${query}` },
      ...(call.hasSecret && { secret: await secretFor(secretOrigin) }),
    };
    const checked = await checkedFlow(parts, completion, "member");
    return completeConnection(parts, completion, checked, { within: never, gone: never });
  };
  return { url: new URL(url), asked, finish };
}

async function openedValue({ policy, envelope }: ConnectionMade): Promise<string> {
  const context = { org: ORG, credential: "it", version: "1", purpose: "broker" } as const;
  const bytes = await openCredential(keys, { ...context, policy: brokerPolicyHash(policy) }, { envelope });
  return Buffer.from(bytes).toString("utf8");
}

const revoke = async (provider: ProviderName, { policy, envelope }: ConnectionMade, secretOrigin: string) =>
  revokeConnection(
    parts,
    {
      ...{ id: randomUUID(), token: "jwt", org: ORG, receipt: {} as never, provider, clientId: "acme" },
      ...{ credential: { name: "it", version: 1, policy, material: { envelope } } },
      secret: await secretFor(secretOrigin),
    },
    never,
  );

describe("GitHub", () => {
  const TOKEN = "/login/oauth/access_token";
  const origin = "https://github.com";

  test("an OAuth app's token does not expire, and is a credential that is sent in a header", async () => {
    const { url, asked, finish } = await connectTo("github", origin, { scopes: ["repo", "gist"] });
    expect(`${url.origin}${url.pathname}`).toBe("https://github.com/login/oauth/authorize");
    expect(asked.get("scope")).toBe("repo gist");
    expect(asked.get("code_challenge_method")).toBe("S256");
    hosts["github.com"].answers[TOKEN] = ({ form }, response) => {
      expect(Object.fromEntries(form)).toMatchObject({
        client_id: "acme",
        client_secret: SECRET,
        code: "the-code",
      });
      expect(form.get("code_verifier")).toMatch(/^[\w-]{43}$/);
      json(response, 200, { access_token: "gho_canary0123456789", token_type: "bearer", scope: "repo,gist" });
    };
    const made = await finish();
    expect(made.scopes).toEqual(["repo", "gist"]);
    expect(made.policy).toEqual({
      ...{ origin: "https://api.github.com", rules: [] },
      inject: { header: "Authorization", format: "Bearer {}" },
    });
    expect(await openedValue(made)).toBe("gho_canary0123456789");
  });

  test("it says an error with the status 200", async () => {
    const { finish } = await connectTo("github", origin);
    hosts["github.com"].answers[TOKEN] = (_, response) =>
      json(response, 200, { error: "bad_verification_code" });
    await expect(finish()).rejects.toMatchObject({
      failure: "provider_refused",
      message: "The provider refused: bad_verification_code.",
    });
  });

  test("fewer scopes are shown, and a scope of its own making is refused", async () => {
    const { finish } = await connectTo("github", origin, { scopes: ["repo", "gist"] });
    const answer = (scope: string) => {
      hosts["github.com"].answers[TOKEN] = (_, response) =>
        json(response, 200, { access_token: "gho_canary0123456789", token_type: "bearer", scope });
    };
    answer("gist");
    expect((await finish()).scopes).toEqual(["gist"]);
    const other = await connectTo("github", origin, { scopes: ["gist"] });
    answer("repo,gist");
    const revoked: string[] = [];
    hosts["api.github.com"].answers["/applications/acme/token"] = ({ form }, response) => {
      revoked.push(String(form));
      response.writeHead(204).end();
    };
    await expect(other.finish()).rejects.toThrow("It was revoked.");
    expect(decodeURIComponent(revoked.join())).toContain("gho_canary0123456789");
  });

  test("a GitHub App's user token is refreshed", async () => {
    const { finish } = await connectTo("github", origin, { scopes: [] });
    hosts["github.com"].answers[TOKEN] = (_, response) =>
      json(response, 200, {
        ...{ access_token: "ghu_canary0123456789", token_type: "bearer", scope: "", expires_in: 28_800 },
        ...{ refresh_token: "ghr_canary0123456789", refresh_token_expires_in: 15_897_600 },
      });
    const made = await finish();
    expect(made.policy.grant).toMatchObject({ type: "refresh_token", clientAuth: "post", scopes: [] });
    expect(JSON.parse(await openedValue(made))).toEqual({
      refreshToken: "ghr_canary0123456789",
      clientSecret: SECRET,
    });
    expect(await revoke("github", made, origin).catch((error: unknown) => error)).toMatchObject({
      failure: "not_allowed",
    });
  });

  test("it revokes a token for the client with its secret; one that is gone is revoked", async () => {
    const { finish } = await connectTo("github", origin);
    hosts["github.com"].answers[TOKEN] = (_, response) =>
      json(response, 200, { access_token: "gho_canary0123456789", token_type: "bearer", scope: "" });
    const made = await finish();
    for (const status of [204, 404]) {
      hosts["api.github.com"].answers["/applications/acme/token"] = ({ authorization }, response) => {
        expect(Buffer.from(authorization?.slice(6) ?? "", "base64").toString()).toBe(`acme:${SECRET}`);
        response.writeHead(status).end();
      };
      expect(await revoke("github", made, origin)).toEqual({ outcome: "revoked" });
    }
    hosts["api.github.com"].answers["/applications/acme/token"] = (_, response) =>
      response.writeHead(503).end();
    await expect(revoke("github", made, origin)).rejects.toMatchObject({ failure: "provider_refused" });
  });
});

describe("Slack", () => {
  const TOKEN = "/api/oauth.v2.access";
  const origin = "https://slack.com";
  const bot = { ok: true, access_token: "xoxb-canary0123456789", token_type: "bot", scope: "one,two" };

  test("a bot's token does not expire; a client with a secret has no code challenge", async () => {
    const { asked, finish } = await connectTo("slack", origin);
    expect(asked.has("code_challenge")).toBe(false);
    hosts["slack.com"].answers[TOKEN] = ({ authorization, form }, response) => {
      const pair = decodeURIComponent(Buffer.from(authorization?.slice(6) ?? "", "base64").toString());
      expect(pair).toBe(`acme:${SECRET}`);
      expect(form.has("code_verifier")).toBe(false);
      json(response, 200, bot);
    };
    const made = await finish();
    expect(made).toMatchObject({ scopes: ["one", "two"], policy: { origin: "https://slack.com" } });
    expect(await openedValue(made)).toBe("xoxb-canary0123456789");
  });

  test("a client without a secret has a code challenge", async () => {
    const { asked } = await connectTo("slack", origin, { hasSecret: false });
    expect(asked.get("code_challenge_method")).toBe("S256");
  });

  test("it says an error with the status 200", async () => {
    const { finish } = await connectTo("slack", origin);
    hosts["slack.com"].answers[TOKEN] = (_, response) =>
      json(response, 200, { ok: false, error: "invalid_code" });
    await expect(finish()).rejects.toThrow("The provider refused: invalid_code.");
  });

  test("rotated tokens are refused, and revoked", async () => {
    const { finish } = await connectTo("slack", origin);
    hosts["slack.com"].answers[TOKEN] = (_, response) =>
      json(response, 200, { ...bot, refresh_token: "xoxe-1-canary", expires_in: 43_200 });
    await expect(finish()).rejects.toThrow(/switch token rotation off/);
  });

  test("a token revokes itself", async () => {
    const { finish } = await connectTo("slack", origin);
    hosts["slack.com"].answers[TOKEN] = (_, response) => json(response, 200, bot);
    const made = await finish();
    hosts["slack.com"].answers["/api/auth.revoke"] = ({ authorization }, response) => {
      expect(authorization).toBe("Bearer xoxb-canary0123456789");
      json(response, 200, { ok: true, revoked: true });
    };
    expect(await revoke("slack", made, origin)).toEqual({ outcome: "revoked" });
    hosts["slack.com"].answers["/api/auth.revoke"] = (_, response) =>
      json(response, 200, { ok: false, error: "x" });
    await expect(revoke("slack", made, origin)).rejects.toMatchObject({ failure: "provider_refused" });
  });
});

describe("Google", () => {
  const origin = "https://oauth2.googleapis.com";
  const iss = "https://accounts.google.com";
  const answer = (scope: string, more: object = {}) => {
    hosts["oauth2.googleapis.com"].answers["/token"] = (_, response) =>
      json(response, 200, {
        ...{ access_token: "ya29.canary0123456789", token_type: "Bearer", expires_in: 3599, scope },
        ...{ refresh_token: "1//canary0123456789", ...more },
      });
  };

  test("is asked for offline access and consent, which bring a refresh token each time", async () => {
    const { url, asked } = await connectTo("google", origin);
    expect(`${url.origin}${url.pathname}`).toBe("https://accounts.google.com/o/oauth2/v2/auth");
    expect(Object.fromEntries(asked)).toMatchObject({ access_type: "offline", prompt: "consent" });
  });

  test("names the scopes of an identity in its own way", async () => {
    const { finish } = await connectTo("google", origin, { scopes: ["email", "drive.readonly"] });
    answer("https://www.googleapis.com/auth/userinfo.email drive.readonly");
    const made = await finish({ iss });
    expect(made.policy.grant).toMatchObject({
      ...{ endpoint: "https://oauth2.googleapis.com/token", clientAuth: "post" },
      revocation: "https://oauth2.googleapis.com/revoke",
    });
    expect(made.scopes).toContain("https://www.googleapis.com/auth/userinfo.email");
  });

  test("a scope that sounds like one asked for is refused", async () => {
    const { finish } = await connectTo("google", origin, { scopes: ["drive.readonly"] });
    answer("drive");
    await expect(finish({ iss })).rejects.toMatchObject({ failure: "provider_refused" });
  });

  test("a response without its iss is refused", async () => {
    const { finish } = await connectTo("google", origin);
    answer("one");
    await expect(finish()).rejects.toMatchObject({ failure: "callback_refused", parts: { part: "iss" } });
  });

  test("without a refresh token there is no connection", async () => {
    const { finish } = await connectTo("google", origin);
    answer("one", { refresh_token: undefined });
    await expect(finish({ iss })).rejects.toThrow(/no refresh token/);
  });
});

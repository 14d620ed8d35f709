import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Grant } from "../../../../services/shared/broker/grant.ts";
import { brokerPolicyHash } from "../../../../services/shared/broker/policy.ts";
import { open } from "../../../../services/shared/envelope/envelope.ts";
import { newOrgId } from "../../../../services/shared/org.ts";
import { Tokens } from "../../../../services/worker/broker/token/tokens.ts";
import { UseFailure } from "../../../../services/worker/broker/use-failure.ts";
import { exchangeTo, policyOf, sealedCredential, who } from "../../../harness/granted-credential.ts";
import { memoryKeyProvider } from "../../../harness/key-provider.ts";
import { CLIENT, type OAuthProvider, startOAuthProvider } from "../../../harness/oauth-provider.ts";

let provider: OAuthProvider;
const org = newOrgId();
const keys = memoryKeyProvider("memory:broker");

beforeAll(async () => {
  provider = await startOAuthProvider();
});
afterAll(() => provider.close());

const clientGrant = (): Extract<Grant, { type: "client_credentials" }> => ({
  ...{ type: "client_credentials", endpoint: `${provider.origin}/token`, clientId: CLIENT.id },
  ...{ clientAuth: "basic", scopes: ["read", "write"], who, lifetimeSeconds: 3600 },
});
const refreshGrant = (): Extract<Grant, { type: "refresh_token" }> => ({
  ...{ type: "refresh_token", endpoint: `${provider.origin}/token`, clientId: CLIENT.id },
  ...{ clientAuth: "post", scopes: ["read", "write", "offline_access"], who, lifetimeSeconds: 3600 },
});
const tokens = (now?: () => number) => new Tokens(keys, exchangeTo([provider]), now);
const textOf = (obtained: Awaited<ReturnType<Tokens["obtain"]>>): string => {
  if (!("token" in obtained)) throw new Error("no token");
  return Buffer.from(obtained.token.bytes).toString();
};
const failure = async (work: Promise<unknown>) => {
  const thrown = await work.then(() => undefined).catch((error: unknown) => error);
  if (!(thrown instanceof UseFailure)) throw thrown ?? new Error("it did not fail");
  return { failure: thrown.failure, ...thrown.parts };
};

describe("client credentials at a real provider", () => {
  for (const auth of ["basic", "post"] as const) {
    test(`issues a token for the scopes of the policy, by ${auth}`, async () => {
      const grant = { ...clientGrant(), clientAuth: auth };
      const credential = await sealedCredential(keys, org, CLIENT.secret, policyOf(grant), { name: auth });
      const obtained = await tokens().obtain({ org, credential, asked: {}, mayExchange: true });
      const token = await provider.provider.ClientCredentials.find(textOf(obtained));
      expect(token?.scope).toBe("read write");
    });
  }

  test("issues fewer scopes if fewer are asked for, and refuses more before the provider is asked", async () => {
    const credential = await sealedCredential(keys, org, CLIENT.secret, policyOf(clientGrant()));
    const held = tokens();
    const asked = { scopes: ["read"] };
    const obtained = await held.obtain({ org, credential, asked, mayExchange: true });
    expect((await provider.provider.ClientCredentials.find(textOf(obtained)))?.scope).toBe("read");
    const before = provider.asked;
    const wider = held.obtain({ org, credential, asked: { scopes: ["read", "admin"] }, mayExchange: true });
    expect(await failure(wider)).toEqual({ failure: "not_allowed", part: "scopes" });
    expect(provider.asked).toBe(before);
  });

  test("a second call has the token from memory, and one for other scopes, another version or policy does not", async () => {
    const held = tokens();
    const policy = policyOf(clientGrant());
    const credential = await sealedCredential(keys, org, CLIENT.secret, policy);
    const first = textOf(await held.obtain({ org, credential, asked: {}, mayExchange: true }));
    const asked = provider.asked;
    expect(textOf(await held.obtain({ org, credential, asked: {}, mayExchange: false }))).toBe(first);
    expect(held.accessToken(org, credential)).toBe(first);
    expect(provider.asked).toBe(asked);
    const narrower = { org, credential, asked: { scopes: ["read"] }, mayExchange: false };
    expect(await failure(held.obtain(narrower))).toEqual({ failure: "token_needed" });
    expect(held.accessToken(newOrgId(), credential)).toBeUndefined();
    const later = await sealedCredential(keys, org, CLIENT.secret, policy, { version: 2 });
    expect(held.accessToken(org, later)).toBeUndefined();
    expect(held.accessToken(org, credential)).toBeUndefined(); // forgotten, once a later version is known
  });

  test("concurrent calls for the same token ask the provider once", async () => {
    const held = tokens();
    const credential = await sealedCredential(keys, org, CLIENT.secret, policyOf(clientGrant()));
    const before = provider.asked;
    const wishes = Array.from({ length: 20 }, () =>
      held.obtain({ org, credential, asked: {}, mayExchange: true }),
    );
    expect(new Set((await Promise.all(wishes)).map(textOf)).size).toBe(1);
    expect(provider.asked).toBe(before + 1);
  });

  test("a token is not handed out at the end of its life, nor if fewer seconds were asked for than it has left", async () => {
    let time = Date.now();
    const held = tokens(() => time);
    const credential = await sealedCredential(keys, org, CLIENT.secret, policyOf(clientGrant()));
    await held.obtain({ org, credential, asked: {}, mayExchange: true });
    const peek = (seconds?: number) =>
      held.obtain({ org, credential, asked: { ...(seconds && { seconds }) }, mayExchange: false });
    expect(await failure(peek(600))).toEqual({ failure: "token_needed" });
    time += 3100_000;
    await peek(600);
    time += 450_000; // 50 seconds are left
    expect(await failure(peek())).toEqual({ failure: "token_needed" });
  });

  test("a token that lives longer than the cap is refused", async () => {
    const grant = { ...clientGrant(), lifetimeSeconds: 1800 };
    const credential = await sealedCredential(keys, org, CLIENT.secret, policyOf(grant));
    const work = tokens().obtain({ org, credential, asked: {}, mayExchange: true });
    expect(await failure(work)).toEqual({ failure: "provider_refused" });
  });

  test("a wrong secret is the provider's refusal, in its standard's words", async () => {
    const credential = await sealedCredential(keys, org, "not-the-secret", policyOf(clientGrant()));
    const work = tokens().obtain({ org, credential, asked: {}, mayExchange: true });
    expect(await failure(work)).toEqual({
      ...{ failure: "provider_refused", status: 401, part: "invalid_client" },
    });
  });

  test("a refusal is not asked for again within five seconds, but for another value at once", async () => {
    let time = Date.now();
    const held = tokens(() => time);
    const policy = policyOf(clientGrant());
    const { asked } = provider;
    const obtain = async (value: string, version: number) => {
      const credential = await sealedCredential(keys, org, value, policy, { version });
      return await held.obtain({ org, credential, asked: {}, mayExchange: true });
    };
    for (let attempt = 0; attempt < 5; attempt++) {
      expect(await failure(obtain("not-the-secret", 1))).toMatchObject({ part: "invalid_client" });
    }
    expect(provider.asked).toBe(asked + 1);
    time += 5_001;
    expect(await failure(obtain("not-the-secret", 1))).toMatchObject({ part: "invalid_client" });
    expect(provider.asked).toBe(asked + 2);
    expect(textOf(await obtain(CLIENT.secret, 2))).toBeTruthy();
  });
});

describe("refresh tokens at a real provider that replaces them and detects reuse", () => {
  const wish = async (value: string, version = 1) => ({
    ...{ org, asked: {}, mayExchange: true },
    credential: await sealedCredential(keys, org, value, policyOf(refreshGrant()), { version }),
  });
  const refreshValue = (refreshToken: string) =>
    JSON.stringify({ refreshToken, clientSecret: CLIENT.secret });
  const openNext = async (envelope: string, version: number) => {
    const context = {
      ...{ org, credential: "provider", version: String(version), purpose: "broker" as const },
      policy: brokerPolicyHash(policyOf(refreshGrant())),
    };
    const bytes = await open(keys, context, new Uint8Array(Buffer.from(envelope, "base64")));
    return JSON.parse(Buffer.from(bytes).toString());
  };

  test("returns the new value, sealed for the next version, and the token for that version alone", async () => {
    const held = tokens();
    const first = await wish(refreshValue(await provider.newRefreshToken(refreshGrant().scopes)));
    const obtained = await held.obtain(first);
    if (!("replaced" in obtained)) throw new Error("not replaced");
    expect(obtained.replaced.version).toBe(2);
    const next = await openNext(obtained.replaced.envelope, 2);
    expect(next.clientSecret).toBe(CLIENT.secret);
    expect(held.accessToken(org, first.credential)).toBeUndefined();

    // The intake has ended before its write, say: the old version gets the same again, and nothing is sent.
    const asked = provider.asked;
    expect(await held.obtain(first)).toEqual(obtained);
    expect(held.isReplaced(org, first.credential)).toBe(true);
    expect(provider.asked).toBe(asked);

    const second = {
      ...first,
      credential: {
        ...first.credential,
        ...{ version: 2, since: 1 },
        material: { envelope: obtained.replaced.envelope },
      },
    };
    const token = textOf(await held.obtain({ ...second, mayExchange: false }));
    expect(await provider.provider.AccessToken.find(token)).toBeDefined();
    expect(provider.asked).toBe(asked);
  });

  test("concurrent calls, for whatever scopes, send a refresh token once", async () => {
    const held = tokens();
    const first = await wish(refreshValue(await provider.newRefreshToken(refreshGrant().scopes)));
    const before = provider.asked;
    const wishes = Array.from({ length: 20 }, (_, index) =>
      held.obtain({ ...first, asked: index % 2 ? {} : { scopes: ["read"] } }),
    );
    const envelopes = (await Promise.all(wishes)).map((each) => "replaced" in each && each.replaced.envelope);
    expect(new Set(envelopes).size).toBe(1);
    expect(provider.asked).toBe(before + 1);
  });

  test("a refresh token that was used before ends the grant, and that is told", async () => {
    const first = await wish(refreshValue(await provider.newRefreshToken(refreshGrant().scopes)));
    const [one, other] = [tokens(), tokens()]; // two brokers, with nothing between them
    const obtained = await one.obtain(first);
    expect(await failure(other.obtain(first))).toEqual({
      ...{ failure: "provider_refused", status: 400, part: "invalid_grant" },
    });
    if (!("replaced" in obtained)) throw new Error("not replaced");
    const next = await openNext(obtained.replaced.envelope, 2);
    expect(await failure(tokens().obtain(await wish(JSON.stringify(next), 2)))).toMatchObject({
      part: "invalid_grant",
    });
  });

  test("a new refresh token is kept although the token that came with it lives too long", async () => {
    const grant = { ...refreshGrant(), lifetimeSeconds: 900 };
    const value = refreshValue(await provider.newRefreshToken(grant.scopes));
    const credential = await sealedCredential(keys, org, value, policyOf(grant));
    const obtained = await tokens().obtain({ org, credential, asked: {}, mayExchange: true });
    expect(obtained).toMatchObject({
      replaced: { version: 2, refused: expect.objectContaining({ failure: "provider_refused" }) },
    });
  });

  test("a value that is no refresh token is refused, without a word of it", async () => {
    const work = tokens().obtain(await wish("plain-refresh-token"));
    await expect(work).rejects.toThrow(/^(?!.*plain).*is not the JSON of a refresh token$/);
  });

  test("every data key and each value that was opened is zeros afterwards", async () => {
    const own = memoryKeyProvider("memory:broker");
    const held = new Tokens(own, exchangeTo([provider]));
    const value = refreshValue(await provider.newRefreshToken(refreshGrant().scopes));
    const credential = await sealedCredential(own, org, value, policyOf(refreshGrant()));
    await held.obtain({ org, credential, asked: {}, mayExchange: true });
    expect(own.givenOut.length).toBe(3);
    expect(own.givenOut.every((each) => each.every((byte) => byte === 0))).toBe(true);
  });
});

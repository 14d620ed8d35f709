import { Value } from "typebox/value";
import { describe, expect, test } from "vitest";
import { BrokerPolicy } from "../../../services/shared/broker/policy.ts";
import {
  delegatorOf,
  PROVIDER_NAMES,
  providerOf,
  servesApi,
} from "../../../services/shared/broker/providers.ts";
import { revocationOf } from "../../../services/shared/broker/revocation.ts";
import { parseOrigin } from "../../../services/shared/work/destination.ts";

describe.each(PROVIDER_NAMES)("%s", (name) => {
  const provider = providerOf(name);
  const urls = [provider.authorization, provider.token, provider.jwks, provider.issuer].filter(
    Boolean,
  ) as string[];

  test("has https URLs in their one spelling", () => {
    for (const url of urls) {
      expect(parseOrigin(new URL(url).origin)).toBeDefined();
      expect([url, `${url}/`]).toContain(new URL(url).href);
    }
    expect(parseOrigin(provider.api.origin)).toBeDefined();
  });

  test("serves its API at the origin that is taken unless another is named", () => {
    expect(servesApi(provider, provider.api.origin)).toBe(true);
    expect(delegatorOf(provider.api.origin)).toBe(name);
  });

  test("says who it is, or has an issuer only if it does", () => {
    expect(provider.sendsIssuer && provider.issuer === undefined).toBe(false);
  });
});

test.each([
  ["https://api.github.com", "github"],
  ["https://uploads.github.com", "github"],
  ["https://gmail.googleapis.com", "google"],
  ["https://www.googleapis.com", "google"],
  ["https://slack.com", "slack"],
  ["https://github.com", undefined],
  ["https://api.github.com.evil.example", undefined],
  ["https://evil-googleapis.com", undefined],
  ["https://googleapis.com", undefined],
  ["https://api.github.com:8443", undefined],
  ["http://api.github.com", undefined],
  ["https://api.stripe.com", undefined],
])("delegation instead of a key for %s: %s", (origin, name) => {
  expect(delegatorOf(origin)).toBe(name);
});

describe("where a grant is revoked", () => {
  const inject = { header: "Authorization", format: "Bearer {}" };
  const grant = {
    ...{ type: "refresh_token", endpoint: "https://op.example/token", clientId: "acme", clientAuth: "basic" },
    ...{ scopes: [], who: { level: "admin" }, lifetimeSeconds: 3600 },
  } as const;
  const policy = (origin: string, changes: object = {}): BrokerPolicy =>
    Value.Parse(BrokerPolicy, { origin, inject, rules: [], ...changes });

  test("is the endpoint that is sealed with a refresh token", () => {
    const revocation = "https://op.example/revoke";
    const sealed = policy("https://api.example.com", {
      inject: { token: inject },
      grant: { ...grant, revocation },
    });
    expect(revocationOf(sealed, "github")).toEqual({ type: "rfc7009", endpoint: revocation });
  });

  test("is nowhere if none is sealed, whatever provider is named", () => {
    const sealed = policy("https://api.github.com", { inject: { token: inject }, grant });
    expect(revocationOf(sealed, "github")).toBeUndefined();
  });

  test("is the provider's for an access token, and only for one to its own API", () => {
    expect(revocationOf(policy("https://slack.com"), "slack")?.endpoint).toBe(
      "https://slack.com/api/auth.revoke",
    );
    expect(revocationOf(policy("https://api.example.com"), "slack")).toBeUndefined();
    expect(revocationOf(policy("https://slack.com"), "github")).toBeUndefined();
    expect(revocationOf(policy("https://slack.com"), { issuer: "https://slack.com" })).toBeUndefined();
  });
});

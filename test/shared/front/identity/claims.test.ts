import { describe, expect, test } from "vitest";
import { checkClaims } from "../../../../services/shared/front/identity/claims.ts";
import type { TokenRefused } from "../../../../services/shared/front/identity/refused.ts";
import { ISSUER_ENTRY } from "../../../harness/tokens.ts";

const issuer = { ...ISSUER_ENTRY, audience: "api" };
const NOW = 1_700_000_000;
const good = { aud: "api", sub: "u1", iat: NOW - 10, exp: NOW + 100, org_id: "org_acme" };

function check(changes: Record<string, unknown>, now = NOW, maxLifetime = 3600) {
  try {
    checkClaims({ ...good, ...changes }, issuer, now, maxLifetime);
  } catch (error) {
    return (error as TokenRefused).reason;
  }
  return "accepted";
}

test("valid claims are returned", () => {
  const more = { "https://strongroom.test/groups": ["writer"], permissions: ["orgs:read"], jti: "t1" };
  expect(checkClaims({ ...good, ...more }, issuer, NOW, 3600)).toEqual({
    subject: "u1",
    tokenId: "t1",
    org: "org_acme",
    groups: ["writer"],
    permissions: ["orgs:read"],
    issuedAt: NOW - 10,
    expiresAt: NOW + 100,
  });
  expect(checkClaims({ ...good, org_id: undefined }, issuer, NOW, 3600)).toMatchObject({
    org: undefined,
    groups: [],
    permissions: [],
  });
});

describe("each claim", () => {
  test.each<[string, Record<string, unknown>, string]>([
    ["audience in a list", { aud: ["https://x/userinfo", "api"] }, "accepted"],
    ["another audience", { aud: "other" }, "audience"],
    ["a longer audience", { aud: "api/x" }, "audience"],
    ["no audience", { aud: undefined }, "audience"],
    ["an empty list of audiences", { aud: [] }, "audience"],
    ["a numeric audience", { aud: 1 }, "audience"],
    ["a number in the list of audiences", { aud: ["api", 1] }, "audience"],
    ["an audience object", { aud: { api: true } }, "audience"],
    ["a list in the list of audiences", { aud: [["api"]] }, "audience"],
    ["no subject", { sub: undefined }, "subject"],
    ["an empty subject", { sub: "" }, "subject"],
    ["a numeric subject", { sub: 7 }, "subject"],
    ["half a surrogate pair as subject", { sub: "a\ud800" }, "subject"],
    ["a subject of just the most", { sub: "a".repeat(512) }, "accepted"],
    ["a subject of a letter more", { sub: "a".repeat(513) }, "subject"],
    ["a token id", { jti: "t" }, "accepted"],
    ["an empty token id", { jti: "" }, "token_id"],
    ["a numeric token id", { jti: 1 }, "token_id"],
    ["a token id of a letter too many", { jti: "t".repeat(513) }, "token_id"],
    ["no exp", { exp: undefined }, "times_missing"],
    ["exp as text", { exp: String(NOW + 100) }, "times_missing"],
    ["exp null", { exp: null }, "times_missing"],
    ["exp with a fraction", { exp: NOW + 0.5 }, "times_missing"],
    ["exp without end", { exp: 1e300 }, "times_missing"],
    ["no iat", { iat: undefined }, "times_missing"],
    ["iat as text", { iat: String(NOW) }, "times_missing"],
    ["exp a second ago", { exp: NOW - 1 }, "expired"],
    ["exp now", { exp: NOW }, "expired"],
    ["exp in a second", { exp: NOW + 1 }, "accepted"],
    ["iat now", { iat: NOW }, "accepted"],
    ["iat in a second", { iat: NOW + 1 }, "issued_in_future"],
    ["nbf now", { nbf: NOW }, "accepted"],
    ["nbf in a second", { nbf: NOW + 1 }, "not_yet_valid"],
    ["nbf as text", { nbf: "0" }, "not_yet_valid"],
    ["nbf null", { nbf: null }, "not_yet_valid"],
    ["a lifetime of just the most", { iat: NOW - 1800, exp: NOW + 1800 }, "accepted"],
    ["a lifetime of a second more", { iat: NOW - 1800, exp: NOW + 1801 }, "lifetime_too_long"],
    ["an org list", { org_id: ["org_acme"] }, "org_claim"],
    ["an org object", { org_id: { id: "org_acme" } }, "org_claim"],
    ["an org number", { org_id: 1 }, "org_claim"],
    ["an org null", { org_id: null }, "org_claim"],
    ["an empty org", { org_id: "" }, "org_claim"],
    ["groups as text", { [issuer.groupsClaim]: "admin" }, "groups_claim"],
    ["groups of numbers", { [issuer.groupsClaim]: [1] }, "groups_claim"],
    ["as many groups as may be", { [issuer.groupsClaim]: Array(256).fill("g") }, "accepted"],
    ["one group more", { [issuer.groupsClaim]: Array(257).fill("g") }, "groups_claim"],
    ["permissions as text", { permissions: "orgs:create" }, "permissions_claim"],
  ])("%s", (_name, changes, expected) => {
    expect(check(changes)).toBe(expected);
  });
});

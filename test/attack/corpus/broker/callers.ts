import { createHmac } from "node:crypto";
import { OPERATOR_AUDIENCE, ORG_CLAIM } from "../../../../services/shared/local-provider.ts";
import type { UseOptions } from "../../../harness/broker.ts";
import type { TakenOverIntake } from "../../../harness/taken-over-intake.ts";
import { compact, encode, newPair, publicJwk, publicPem, respell, tamper } from "../../../harness/tokens.ts";
import { use, type Way } from "./way.ts";

const seconds = () => Math.floor(Date.now() / 1000);

/** A use with another token than a writer's; no receipt is sent, since none would be right. */
const by = (
  way: string,
  failure: Way["failure"],
  token: (thief: TakenOverIntake) => string,
  more: (thief: TakenOverIntake) => UseOptions = () => ({}),
): Way => use(`caller: ${way}`, failure, (thief) => ({ token: token(thief), noGo: true, ...more(thief) }));

/** A token by changes of a writer's claims, and of its header. */
const changed = (way: string, claims: object, header: Record<string, unknown> = {}): Way =>
  by(way, "unauthenticated", ({ stage }) =>
    stage.issuer.token({ [stage.issuer.issuer.groupsClaim]: ["writer"], ...claims }, header),
  );

const writer = ({ stage }: TakenOverIntake) => stage.token("org_acme", ["writer"]);
const acme = ({ stage }: TakenOverIntake) => ({ org: stage.orgs.org_acme ?? "" });

/** Callers who are none, or none of this organization, or may not. */
export const callers: Way[] = [
  by("no token", "malformed", () => ""),
  by("a space for a token", "unauthenticated", () => " "),
  by("a token of Vault", "unauthenticated", () => "hvs.CAESI"),
  by("a token that is too long", "malformed", () => "a".repeat(16_385)),
  by("the token with its scheme", "unauthenticated", (thief) => `Bearer ${writer(thief)}`),
  by("two tokens", "unauthenticated", (thief) => `${writer(thief)} ${writer(thief)}`),
  by("a token without its signature", "unauthenticated", (thief) =>
    writer(thief).split(".").slice(0, 2).join(".").concat("."),
  ),
  by("a token whose header was changed", "unauthenticated", (thief) => tamper(writer(thief), 0)),
  by("a token whose claims were changed", "unauthenticated", (thief) => tamper(writer(thief), 1)),
  by("a token whose signature was changed", "unauthenticated", (thief) => tamper(writer(thief), 2)),
  by("a token whose signature is spelled otherwise", "unauthenticated", (thief) => {
    const token = writer(thief);
    return respell(token) ?? `${token}=`;
  }),
  by("a writer's claims with an admin's group, signed by nobody", "unauthenticated", (thief) => {
    const [head, , signature] = writer(thief).split(".");
    const claims = thief.stage.issuer.claims({ [thief.stage.issuer.issuer.groupsClaim]: ["admin"] });
    return `${head}.${encode(claims)}.${signature}`;
  }),
  by(
    "the algorithm none",
    "unauthenticated",
    ({ stage }) => `${encode({ alg: "none", typ: "JWT" })}.${encode(stage.issuer.claims())}.`,
  ),
  by("an HMAC by the issuer's public key", "unauthenticated", ({ stage }) => {
    const { issuer } = stage;
    const head = encode({ alg: "HS256", typ: "JWT", kid: issuer.pair.kid });
    const input = `${head}.${encode(issuer.claims())}`;
    return `${input}.${createHmac("sha256", publicPem(issuer.pair)).update(input).digest("base64url")}`;
  }),
  by("a key of the thief's own, by the issuer's id of its key", "unauthenticated", ({ stage }) => {
    const pair = newPair(stage.issuer.pair.alg, stage.issuer.pair.kid);
    return compact({ alg: pair.alg, typ: "JWT", kid: pair.kid }, stage.issuer.claims(), pair);
  }),
  by("a key in the token's header", "unauthenticated", ({ stage }) => {
    const pair = newPair(stage.issuer.pair.alg);
    const head = { alg: pair.alg, typ: "JWT", kid: pair.kid, jwk: publicJwk(pair) };
    return compact(head, stage.issuer.claims(), pair);
  }),
  by("a key's address in the token's header", "unauthenticated", ({ stage, elsewhere }) => {
    const pair = newPair(stage.issuer.pair.alg);
    const head = { alg: pair.alg, typ: "JWT", kid: pair.kid, jku: `${elsewhere.origin}/jwks` };
    return compact(head, stage.issuer.claims(), pair);
  }),
  changed("expired", { iat: seconds() - 600, exp: seconds() - 300 }),
  changed("expired a second ago", { iat: seconds() - 300, exp: seconds() - 1 }),
  changed("without an end", { exp: undefined }),
  changed("longer alive than any may be", { exp: seconds() + 100_000 }),
  changed("issued in the future", { iat: seconds() + 600, exp: seconds() + 900 }),
  changed("not valid yet", { nbf: seconds() + 600 }),
  changed("for another audience", { aud: "https://other.example" }),
  changed("for no audience", { aud: undefined }),
  changed("for the platform's operators", { aud: OPERATOR_AUDIENCE }),
  changed("by another issuer", { iss: "https://other.example" }),
  changed("by an issuer with one slash more", { iss: "https://auth.strongroom.test//" }),
  changed("by no issuer", { iss: undefined }),
  changed("of nobody", { sub: undefined }),
  changed("of another type", {}, { typ: "logout+jwt" }),
  changed("with a member that must be understood", {}, { crit: ["exp"] }),
  by("another organization's", "forbidden", ({ stage }) => stage.token("org_globex"), acme),
  by(
    "another organization's admin's",
    "forbidden",
    ({ stage }) => stage.token("org_globex", ["admin"]),
    acme,
  ),
  by("of an organization that is none", "forbidden", ({ stage }) => stage.token("org_nobody"), acme),
  changed("of no organization", { [ORG_CLAIM]: undefined }),
  by("two organizations'", ["forbidden", "unauthenticated"], ({ stage }) =>
    stage.issuer.token({ [stage.issuer.issuer.orgClaim]: ["org_globex", "org_acme"] }),
  ),
  by(
    "another organization's, for that organization",
    "not_openable",
    ({ stage }) => stage.token("org_globex"),
    ({ stage }) => ({ org: stage.orgs.org_globex ?? "" }),
  ),
  by("an auditor's", "forbidden", ({ stage }) => stage.token("org_acme", ["auditor"])),
  by("a rotation operator's", "forbidden", ({ stage }) => stage.token("org_acme", ["rotation-operator"])),
  by("a reader's", "not_allowed", ({ stage }) => stage.token("org_acme", [])),
  by("of a group in another case", "not_allowed", ({ stage }) =>
    stage.token("org_acme", ["Writer", "ADMIN"]),
  ),
  by("of groups in one text", "not_allowed", ({ stage }) => stage.token("org_acme", ["writer,admin"])),
];

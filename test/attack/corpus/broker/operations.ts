import { randomUUID } from "node:crypto";
import type { BrokerPolicy } from "../../../../services/shared/broker/policy.ts";
import type { Rule } from "../../../../services/shared/broker/rules.ts";
import type { Intent } from "../../../../services/shared/receipts/receipt.ts";
import type { Loot, TakenOverIntake } from "../../../harness/taken-over-intake.ts";
import { tamper } from "../../../harness/tokens.ts";
import { ask, atOtherPort, type Way } from "./way.ts";

const admin = ({ stage }: TakenOverIntake) => stage.token("org_acme", ["admin"]);
const caller = (thief: TakenOverIntake, token = admin(thief)) => ({
  ...{ id: randomUUID(), token, org: thief.stage.orgs.org_acme ?? "" },
});
const sealed = ({ name, version, policy, material }: Loot) => ({ name, version, policy, material });
const widened = (rule: Rule): Rule => ({ ...rule, paths: ["/**"], who: { level: "reader" } });

/** A change of the victim's policy, by an admin unless given. */
const change = (
  way: string,
  failure: Way["failure"],
  make: (policy: BrokerPolicy, thief: TakenOverIntake) => Partial<BrokerPolicy> | object,
  more: (thief: TakenOverIntake) => object = () => ({}),
): Way =>
  ask(`change-policy: ${way}`, failure, "change-policy", (thief) => ({
    ...{ ...caller(thief), credential: sealed(thief.victim) },
    policy: { ...thief.victim.policy, ...make(thief.victim.policy, thief) },
    ...more(thief),
  }));
const wider = ({ rules: [rule] }: BrokerPolicy) => ({ rules: [widened(rule as Rule)] });

const grantAt = (endpoint: string, more: object = {}) => ({
  grant: {
    ...{ type: "client_credentials", endpoint, clientId: "c", clientAuth: "post" },
    ...{ scopes: [], who: { level: "reader" }, lifetimeSeconds: 600, ...more },
  },
});

/** The operation `token`, with a receipt that describes it. */
const token = (
  way: string,
  failure: Way["failure"],
  changes: (thief: TakenOverIntake) => object,
  intent: Partial<Intent> = {},
): Way =>
  ask(`token: ${way}`, failure, "token", (thief) => {
    const call = {
      ...{ ...caller(thief), credential: sealed(thief.granted), asked: {}, for: "caller", mayExchange: true },
      ...changes(thief),
    };
    const claims = JSON.parse(Buffer.from(String(call.token).split(".")[1] ?? "", "base64url").toString());
    const groups: string[] = claims[thief.stage.issuer.issuer.groupsClaim] ?? [];
    const level = (["admin", "writer"] as const).find((each) => groups.includes(each)) ?? "reader";
    const entry = {
      ...{ type: "intent", sequence: 1, at: new Date().toISOString(), id: call.id, action: "token" },
      ...{ by: { issuer: claims.iss, subject: claims.sub, level }, credential: "granted", version: 2 },
      ...{ host: new URL(thief.granted.policy.origin).host, scopes: ["read"], ...intent },
    };
    return { ...call, receipt: { entry, hash: "A".repeat(43) } };
  });

const noReceipt = { entry: { type: "intent" }, hash: "A".repeat(43) };

/** Operations by which an intake would get at a value, a token or a policy that its callers' tokens do not give it. */
export const operations: Way[] = [
  change("by a writer", "forbidden", wider, ({ stage }) => ({ token: stage.token() })),
  change("by a reader", "forbidden", wider, ({ stage }) => ({ token: stage.token("org_acme", []) })),
  change("by an auditor", "forbidden", wider, ({ stage }) => ({
    token: stage.token("org_acme", ["auditor"]),
  })),
  change("by a rotation operator", "forbidden", wider, ({ stage }) => ({
    token: stage.token("org_acme", ["rotation-operator"]),
  })),
  change("by nobody", "malformed", wider, () => ({ token: "" })),
  change("by an admin whose token has expired", "unauthenticated", wider, ({ stage }) => ({
    token: stage.token("org_acme", ["admin"], { iat: 1, exp: 2 }),
  })),
  change("by another organization's admin", "forbidden", wider, ({ stage }) => ({
    token: stage.token("org_globex", ["admin"]),
  })),
  change("by another organization's admin, for theirs", "not_openable", wider, ({ stage }) => ({
    ...{ token: stage.token("org_globex", ["admin"]), org: stage.orgs.org_globex ?? "" },
  })),
  change("to another host", "not_allowed", (_, { elsewhere }) => ({ origin: elsewhere.origin })),
  change(
    "to another host, by a writer",
    "forbidden",
    (_, { elsewhere }) => ({ origin: elsewhere.origin }),
    ({ stage }) => ({ token: stage.token() }),
  ),
  change("to another port", "not_allowed", ({ origin }) => ({ origin: atOtherPort(origin) })),
  change("to another spelling of the host", "not_allowed", ({ origin }) => ({ origin: `${origin}/` })),
  change("to another header", "not_allowed", () => ({ inject: { header: "X-Api-Key", format: "{}" } })),
  change("to another format", "not_allowed", () => ({ inject: { header: "Authorization", format: "{}" } })),
  change("to the query", "not_allowed", () => ({ inject: { query: "q" } })),
  change("to Basic", "not_allowed", () => ({ inject: { basic: { user: "thief" } } })),
  change("to a grant at another host", "not_allowed", (_, { elsewhere }) =>
    grantAt(`${elsewhere.origin}/token`),
  ),
  change("to a grant at the same host", "not_allowed", ({ origin }) => grantAt(`${origin}/token`)),
  change("to an access token of a grant", "not_allowed", ({ origin }) => ({
    ...{ inject: { token: { header: "Authorization", format: "Bearer {}" } }, ...grantAt(`${origin}/token`) },
  })),
  change("to a rotation at another host", "not_allowed", (_, { elsewhere }) => ({
    rotation: {
      type: "postgresql",
      host: new URL(elsewhere.origin).hostname,
      port: 5432,
      database: "d",
      role: "r",
    },
  })),
  change("to a rotation at AWS", "not_allowed", () => ({ rotation: { type: "aws_access_key" } })),
  change("to no policy", "malformed", () => ({ origin: undefined })),
  change("with a member more", "malformed", () => ({ more: true })),
  change("with the value in the call", "malformed", wider, () => ({ value: "mine" })),
  change("from a policy that it was not sealed for", "not_openable", wider, ({ victim, older }) => ({
    credential: { ...sealed(victim), policy: older.policy },
    policy: older.policy,
  })),
  change(
    "from another host, to that host",
    "not_openable",
    () => ({}),
    ({ victim, elsewhere }) => ({
      credential: { ...sealed(victim), policy: { ...victim.policy, origin: elsewhere.origin } },
      policy: { ...victim.policy, origin: elsewhere.origin },
    }),
  ),
  change("of another version", "not_openable", wider, ({ victim }) => ({
    credential: { ...sealed(victim), version: 7 },
  })),
  change("of another name", "not_openable", wider, ({ victim }) => ({
    credential: { ...sealed(victim), name: "mine" },
  })),
  change("of another organization's credential", "not_openable", wider, ({ foreign }) => ({
    credential: sealed(foreign),
  })),
  ask("change-policy: a grant's endpoint at another host", "not_allowed", "change-policy", (thief) => ({
    ...{ ...caller(thief), credential: sealed(thief.granted) },
    policy: { ...thief.granted.policy, ...grantAt(`${thief.elsewhere.origin}/token`) },
  })),
  ask("change-policy: a grant's endpoint at another path", "not_allowed", "change-policy", (thief) => ({
    ...{ ...caller(thief), credential: sealed(thief.granted) },
    policy: { ...thief.granted.policy, ...grantAt(`${thief.granted.policy.origin}/echo`) },
  })),
  ask("change-policy: a grant's wider scopes", "not_allowed", "change-policy", (thief) => ({
    ...{ ...caller(thief), credential: sealed(thief.granted) },
    policy: {
      ...thief.granted.policy,
      ...grantAt(`${thief.granted.policy.origin}/token`, { scopes: ["all"] }),
    },
  })),
  token("for a writer, of a grant for admins", "not_allowed", ({ stage }) => ({ token: stage.token() })),
  token("for a token that was changed", "unauthenticated", (thief) => ({ token: tamper(admin(thief), 2) })),
  token("for another organization's admin", "forbidden", ({ stage }) => ({
    token: stage.token("org_globex", ["admin"]),
  })),
  token("with scopes that the grant does not have", "not_allowed", () => ({ asked: { scopes: ["all"] } })),
  token("of a credential without a grant", "not_allowed", ({ victim }) => ({ credential: sealed(victim) })),
  token("with a receipt for a use", "receipt_mismatch", () => ({}), { action: "use" }),
  token("with a receipt for another host", "receipt_mismatch", () => ({}), { host: "api.example.com" }),
  token("with a receipt for fewer scopes", "receipt_mismatch", () => ({}), { scopes: [] }),
  token("with a receipt by another", "receipt_mismatch", () => ({}), {
    by: { issuer: "https://auth.strongroom.test/", subject: "u2", level: "admin" },
  }),
  token("at an endpoint that it was not sealed for", "not_openable", ({ granted: { policy }, granted }) => ({
    credential: {
      ...sealed(granted),
      policy: { ...policy, ...grantAt(`${policy.origin}/echo`, { scopes: ["read"] }) },
    },
  })),
  ask("connection-revoke: at another host", "not_openable", "connection-revoke", (thief) => {
    const { id, ...rest } = caller(thief);
    const { policy } = thief.granted;
    const grant = {
      ...{ type: "refresh_token", endpoint: `${policy.origin}/token`, clientId: "c", clientAuth: "none" },
      ...{ scopes: [], who: { level: "admin" }, lifetimeSeconds: 600 },
      revocation: `${thief.elsewhere.origin}/revoke`,
    };
    const entry = {
      ...{ type: "intent", sequence: 1, at: new Date().toISOString(), id, action: "revoke", version: 2 },
      ...{ by: { issuer: thief.stage.issuer.issuer.issuer, subject: "u1", level: "admin" } },
      ...{ credential: "stripe", host: new URL(thief.elsewhere.origin).host, method: "POST" },
    };
    return {
      ...{ id, ...rest, receipt: { entry, hash: "A".repeat(43) }, provider: "google", clientId: "c" },
      credential: { ...sealed(thief.victim), policy: { ...policy, grant } },
    };
  }),
  ask(
    "connection-complete: with a flow that the intake has made",
    "callback_refused",
    "connection-complete",
    (thief) => ({
      ...{
        ...caller(thief),
        receipt: { entry: thiefEntry(thief), hash: "A".repeat(43) },
        connection: "mine",
      },
      ...{
        version: 1,
        flow: { id: randomUUID(), envelope: "AAAA" },
        callback: "https://app.example/mine?code=x",
      },
      secret: sealed(thief.victim),
    }),
  ),
  ...["open", "decrypt", "reveal", "value", "rewrap", "rotate", "use/", "use?x", "../use", "", "healthz"].map(
    (name) =>
      ask(`operation ${JSON.stringify(name)}`, "malformed", name, (thief) => ({
        ...{ ...caller(thief), credential: sealed(thief.victim), receipt: noReceipt },
      })),
  ),
];

function thiefEntry({ stage }: TakenOverIntake): object {
  return {
    ...{ type: "intent", sequence: 1, at: new Date().toISOString(), id: "x", action: "connect", version: 1 },
    ...{ by: { issuer: stage.issuer.issuer.issuer, subject: "u1", level: "admin" }, credential: "mine" },
    host: "login.example.com",
  };
}

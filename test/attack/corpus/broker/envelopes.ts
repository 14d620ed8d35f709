import type { BrokerPolicy } from "../../../../services/shared/broker/policy.ts";
import type { Rule } from "../../../../services/shared/broker/rules.ts";
import { newOrgId } from "../../../../services/shared/org.ts";
import type { UseOptions } from "../../../harness/broker.ts";
import type { Loot, TakenOverIntake } from "../../../harness/taken-over-intake.ts";
import { atOtherPort, use, type Way } from "./way.ts";

const notSealed = (way: string, options: (thief: TakenOverIntake) => UseOptions | Promise<UseOptions>): Way =>
  use(`envelope: ${way}`, "not_openable", options);

/** The victim under a policy with one member changed. */
const policy = (
  way: string,
  change: (policy: BrokerPolicy, thief: TakenOverIntake) => Partial<BrokerPolicy>,
  options: UseOptions = {},
): Way =>
  notSealed(`the policy's ${way}`, (thief) => ({
    policy: { ...thief.victim.policy, ...change(thief.victim.policy, thief) },
    ...options,
  }));

const rule = (way: string, change: Partial<Rule>, options: UseOptions = {}): Way =>
  policy(`rule: ${way}`, ({ rules: [first] }) => ({ rules: [{ ...(first as Rule), ...change }] }), options);

const bytesOf = ({ material }: Loot): Buffer => {
  if (!("envelope" in material)) throw new Error("the credential is not in an envelope");
  return Buffer.from(material.envelope, "base64");
};
const envelope = (way: string, change: (bytes: Buffer) => Buffer): Way =>
  notSealed(`its bytes: ${way}`, ({ victim }) => ({
    material: { envelope: change(bytesOf(victim)).toString("base64") },
  }));
function flipped(bytes: Buffer, at: number): Buffer {
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  return bytes;
}

const header = { header: "X-Api-Key", format: "{}" };

/** A credential under another policy, name, version, organization or purpose than it was sealed for. */
export const envelopes: Way[] = [
  policy("origin is another host", (_, { elsewhere }) => ({ origin: elsewhere.origin })),
  policy("origin is another port", ({ origin }) => ({ origin: atOtherPort(origin) })),
  policy("header is another", () => ({ inject: header })),
  policy("header is one that destinations log", () => ({ inject: { header: "User-Agent", format: "{}" } })),
  policy("format is another", () => ({ inject: { header: "Authorization", format: "Basic {}" } })),
  policy("injection is Basic", () => ({ inject: { basic: { user: "thief" } } })),
  policy("injection is a query", ({ rules: [first] }) => ({
    inject: { query: "key" },
    rules: [{ ...(first as Rule), inUrl: true }],
  })),
  policy("injection is a path", ({ rules: [first] }) => ({
    ...{ inject: { pathPrefix: "/bot{}" }, rules: [{ ...(first as Rule), inUrl: true }] },
  })),
  policy("injection is an HMAC", () => ({
    inject: { hmac: { ...header, algorithm: "sha256", encoding: "hex", template: "{path}" } },
  })),
  rule("more paths", { paths: ["/v1/**", "/v2/**"] }, { path: "/v2/charges" }),
  rule("one path fewer", { paths: ["/v1/charges"] }),
  rule("another member of the query", { query: ["q", "admin"] }, { path: "/v1/a?admin=1" }),
  rule("other types of bodies", { contentTypes: ["text/html"] }),
  rule("for readers", { who: { level: "reader" } }),
  rule("for a group", { who: { level: "writer", groups: ["writer"] } }),
  rule("for this caller", { who: { level: "writer", subjects: ["u1"] } }),
  rule("a rate", { rate: { perMinute: 60_000 } }),
  rule("hours", { hours: { from: "00:00", to: "23:59", timeZone: "UTC" } }),
  rule("in the URL", { inUrl: true }),
  rule("another id", { id: "other" }, { intent: { rule: "other" } }),
  rule("methods in another order", { methods: ["HEAD", "GET", "POST", "PUT", "PATCH", "DELETE"] }),
  policy("rules: one more", ({ rules: [first] }) => ({
    rules: [first as Rule, { ...(first as Rule), id: "b" }],
  })),
  policy("concurrency", () => ({ concurrency: 256 })),
  policy("grant", ({ origin }) => ({
    grant: {
      ...{ type: "client_credentials", endpoint: `${origin}/token`, clientId: "c", clientAuth: "post" },
      ...{ scopes: [], who: { level: "reader" }, lifetimeSeconds: 600 },
    },
  })),
  policy("rotation", () => ({
    rotation: {
      ...{ type: "rest", create: { method: "POST", path: "/v1/keys" }, key: "/key" },
      check: { method: "GET", path: "/v1/me" },
    },
  })),
  use("envelope: the policy's origin is none", "not_openable", ({ victim }) => ({
    policy: { ...victim.policy, origin: `${victim.policy.origin}/` },
  })),
  use("envelope: the policy has a member more", "malformed", ({ victim }) => ({
    policy: { ...victim.policy, more: true } as BrokerPolicy,
  })),
  notSealed("another name", () => ({ name: "github" })),
  notSealed("the next version", () => ({ version: 3 })),
  notSealed("the version before", () => ({ version: 1 })),
  notSealed("the version before as the newest", ({ older }) => ({ material: older.material })),
  notSealed("the version before, for its own rules, as the newest", ({ older }) => ({
    ...{ material: older.material, policy: older.policy },
  })),
  notSealed("the newest by the rules of the version before", ({ older }) => ({ policy: older.policy })),
  notSealed("another organization's", ({ foreign }) => ({ material: foreign.material })),
  notSealed("the victim in another organization, by its member", ({ stage }) => ({
    ...{ claim: "org_globex", org: stage.orgs.org_globex ?? "" },
  })),
  use("envelope: the victim in an organization that is none", "forbidden", () => ({
    org: newOrgId(),
    noGo: true,
  })),
  notSealed("of purpose integration", async (thief) => ({ material: await thief.sealedFor("integration") })),
  notSealed("of purpose webhook", async (thief) => ({ material: await thief.sealedFor("webhook") })),
  notSealed("another credential's", ({ granted }) => ({ material: granted.material })),
  notSealed("as a value that a client has sealed", ({ victim }) => ({
    material: {
      sealed: { key: `k${"a".repeat(15)}`, enc: "BAAA", ciphertext: "AAAA", commitment: "AAAA" },
      privateKey: bytesOf(victim).toString("base64"),
    },
  })),
  envelope("none", () => Buffer.alloc(0)),
  envelope("half", (bytes) => bytes.subarray(0, bytes.length / 2)),
  envelope("one fewer", (bytes) => bytes.subarray(0, -1)),
  envelope("one more", (bytes) => Buffer.concat([bytes, Buffer.from([0])])),
  envelope("two in a row", (bytes) => Buffer.concat([bytes, bytes])),
  ...[0, 1, 2, 40, 100, 200].map((at) => envelope(`one bit at ${at}`, (bytes) => flipped(bytes, at))),
  envelope("one bit in the middle", (bytes) => flipped(bytes, Math.floor(bytes.length / 2))),
  envelope("one bit at the end", (bytes) => flipped(bytes, bytes.length - 1)),
];

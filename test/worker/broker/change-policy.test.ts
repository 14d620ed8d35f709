import { randomUUID } from "node:crypto";
import { describe, expect } from "vitest";
import type { BrokerPolicy } from "../../../services/shared/broker/policy.ts";
import { type BrokerStage, startBrokerStage } from "../../harness/broker.ts";
import { test as base } from "../../harness/fixtures.ts";

const test = base.extend(
  "stage",
  { scope: "file" },
  async ({ internal }, { onCleanup }): Promise<BrokerStage> => {
    const stage = await startBrokerStage(internal);
    onCleanup(stage.stop);
    return stage;
  },
);

const SECRET = "sk_live_tiger42";
const GRANT: BrokerPolicy["grant"] = {
  ...{ type: "client_credentials", endpoint: "https://login.example/token", clientId: "c" },
  ...{ clientAuth: "basic", scopes: ["read"], who: { level: "writer" }, lifetimeSeconds: 600 },
};

async function change(
  stage: BrokerStage,
  before: BrokerPolicy,
  after: BrokerPolicy,
  changes: { groups?: string[]; claim?: string; version?: number; call?: object } = {},
) {
  const { groups = ["admin"], claim = "org_acme", version = 1 } = changes;
  const material = await stage.seal(SECRET, before);
  return stage.ask("change-policy", {
    ...{ id: randomUUID(), token: stage.token(claim, groups), org: stage.orgs.org_acme, policy: after },
    credential: { name: "stripe", version, policy: before, material },
    ...changes.call,
  });
}

const rulesOf = (stage: BrokerStage, changes: Partial<BrokerPolicy["rules"][number]>): BrokerPolicy =>
  stage.policy({ rules: stage.policy().rules.map((rule) => ({ ...rule, ...changes })) });

describe("a policy is changed without the value", () => {
  test("rules, concurrency, rotation at the same place, and who may have tokens", async ({ stage }) => {
    const before = stage.policy();
    const after = { ...rulesOf(stage, { paths: ["/v2/**"] }), concurrency: 3 };
    const { status, json } = await change(stage, before, after);
    expect(status).toBe(200);
    expect(json).toMatchObject({ version: 2, envelope: expect.stringMatching(/^[A-Za-z0-9+/]+=*$/) });
    const material = { envelope: json.envelope as string };
    const intent = { pathPattern: "/v2/**", version: 2 };
    const used = await stage.use({ policy: after, material, version: 2, path: "/v2/a", intent });
    expect(used.head?.status).toBe(200);
    expect(stage.destination.effects.at(-1)?.headers.authorization).toBe(`Bearer ${SECRET}`);
    // The new envelope opens by the new policy and version alone.
    for (const options of [
      { policy: before, version: 2 },
      { policy: after, version: 1, path: "/v2/a" },
    ]) {
      expect((await stage.use({ ...options, material })).failed).toMatchObject({ failure: "not_openable" });
    }
    const granted = stage.policy({ grant: GRANT });
    const others = { ...GRANT, who: { level: "admin" as const }, lifetimeSeconds: 60 };
    expect((await change(stage, granted, stage.policy({ grant: others }))).status).toBe(200);
  });

  test("by an admin of this organization alone", async ({ stage }) => {
    const [before, after] = [stage.policy(), rulesOf(stage, { methods: ["GET"] })];
    for (const groups of [[], ["writer"], ["rotation-operator"], ["auditor"]]) {
      const { status, json } = await change(stage, before, after, { groups });
      expect(status).toBe(403);
      expect(json).toMatchObject({ failure: "forbidden", isSent: false });
    }
    expect((await change(stage, before, after, { claim: "org_globex" })).json).toMatchObject({
      failure: "forbidden",
    });
    expect((await change(stage, before, after, { call: { token: "none" } })).json).toMatchObject({
      failure: "unauthenticated",
    });
  });

  test("but never so that the value, or what is made of it, goes elsewhere", async ({ stage }) => {
    const before = stage.policy({ grant: GRANT });
    const cases: [string, Partial<BrokerPolicy>][] = [
      ["inject", { inject: { header: "X-Api-Key", format: "{}" } }],
      ["inject", { inject: { header: "Authorization", format: "Token {}" } }],
      ["inject", { inject: { query: "key" } }],
      ["origin", { origin: "https://evil.example" }],
      ["origin", { origin: `${before.origin}0` }],
      ["origin", { grant: { ...GRANT, endpoint: "https://evil.example/token" } }],
      [
        "origin",
        { rotation: { type: "postgresql", host: "db.example", port: 5432, database: "a", role: "b" } },
      ],
      ["grant", { grant: { ...GRANT, clientId: "other" } }],
      ["grant", { grant: { ...GRANT, scopes: ["read", "admin"] } }],
      ["grant", { grant: { ...GRANT, endpoint: "https://login.example/other" } }],
    ];
    for (const [part, changes] of cases) {
      const { status, json } = await change(stage, before, { ...before, ...changes });
      expect(status, JSON.stringify(changes)).toBe(403);
      expect(json).toMatchObject({ failure: "not_allowed", part });
    }
    const { grant: _, ...without } = before;
    expect((await change(stage, without, before)).json).toMatchObject({ failure: "not_allowed" });
  });

  test("only of a value that was sealed for the old one", async ({ stage }) => {
    const [before, after] = [stage.policy(), rulesOf(stage, { methods: ["GET"] })];
    expect((await change(stage, before, after, { version: 2 })).json).toMatchObject({
      ...{ failure: "not_openable", isSent: false },
    });
  });

  test("and what is no call is refused", async ({ stage }) => {
    expect((await stage.ask("change-policy", {})).json).toMatchObject({ failure: "malformed" });
    expect((await stage.ask("unknown", {})).json).toMatchObject({ failure: "malformed" });
    const { json } = await change(stage, stage.policy(), stage.policy(), { call: { more: 1 } });
    expect(json).toMatchObject({ failure: "malformed" });
  });
});

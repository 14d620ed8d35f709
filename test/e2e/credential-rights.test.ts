import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import type { BrokerPolicy } from "../../services/shared/broker/policy.ts";
import type { Rule } from "../../services/shared/broker/rules.ts";
import { formsIn, formsOf, newCanary } from "../harness/canary.ts";
import { type CredentialPlatform, startCredentialPlatform } from "../harness/credentials.ts";

/*
 * Who may do what with credentials: each kind of member at each operation of the intake's description, as a golden file. To
 * accept a change, read it and run vitest with `-u`. And no answer to anybody contains a value.
 */

const WHO = {
  nobody: undefined,
  reader: { groups: [] },
  writer: { groups: ["writer"] },
  "rotation operator": { groups: ["rotation-operator"] },
  auditor: { groups: ["auditor"] },
  "another organization's admin": { groups: ["admin", "auditor", "rotation-operator"], claim: "org_globex" },
  admin: { groups: ["admin"] },
} as const;
type Who = keyof typeof WHO;
const MEMBERS = Object.keys(WHO) as Who[];

/** What an operation belongs to, by its path; the first that fits. */
const RIGHTS: [right: string, operation: RegExp][] = [
  ["use", /\/v1\/use\/|\/v1\/jobs|\/token$/],
  ["rotate", /\/rotations?\b/],
  ["receipts", /\/receipts/],
  ["connections", /\/connection/],
  ["manage", /\/v1\/credentials|\/sealing-keys/],
  ["no credential", /./],
];

const value = newCanary();
const forms = formsOf(value);
let platform: CredentialPlatform;
let stripe: BrokerPolicy;
beforeAll(async () => {
  platform = await startCredentialPlatform(inject("vaultBinary"), { workers: ["integration", "broker"] });
  platform.destination.answer = (effect, response) => void response.end(JSON.stringify(effect.headers));
  const rule = (method: Rule["methods"][number], level: Rule["who"]["level"]): Rule => ({
    ...{ id: method.toLowerCase(), methods: [method], paths: ["/v1/**"], who: { level } },
  });
  stripe = {
    ...{ origin: platform.destination.origin, inject: { header: "Authorization", format: "Bearer {}" } },
    rules: [rule("GET", "reader"), rule("HEAD", "reader"), rule("POST", "writer"), rule("DELETE", "admin")],
    rotation: {
      ...{ type: "rest", create: { method: "POST", path: "/v1/keys" }, key: "/key" },
      check: { method: "GET", path: "/v1/me" },
    },
  };
  const body = { purpose: "broker", value, destination: stripe };
  const put = await platform.api("PUT", "/v1/credentials/stripe", platform.token(), { body });
  if (put.status !== 201) throw new Error(put.text);
});
afterAll(() => platform?.stop());

function tokenOf(who: Who): string | undefined {
  const of: { groups: readonly string[]; claim?: string } | undefined = WHO[who];
  const { orgClaim, groupsClaim } = platform.issuer.issuer;
  return (
    of && platform.issuer.token({ sub: who, [orgClaim]: of.claim ?? "org_acme", [groupsClaim]: of.groups })
  );
}

/** Bodies that would take effect, for those who may not; what others send is refused for its form, so nothing changes. */
const bodies = (): Record<string, object> => ({
  "PUT /v1/credentials/{name}": { purpose: "broker", value: "another-value-0123", destination: stripe },
  "PUT /v1/credentials/{name}/rules": { rules: [] },
  "PUT /v1/credentials/{name}/rotation": { recipe: stripe.rotation },
  "POST /v1/credentials/{name}/rules/check": { method: "GET", path: "/v1/a" },
});

interface Operation {
  method: string;
  path: string;
}
const idFor = (name: string, path: string, who: Who, method: string): string => {
  if (/^id$/.test(name)) return path.includes("/jobs") ? `j${"a".repeat(26)}` : "none";
  if (name === "credential") return "stripe";
  if (name === "*") return "v1/a";
  // Whoever may would change it.
  return who === "admin" && method !== "GET" && !path.endsWith("/check") ? "none" : "stripe";
};

async function send({ method, path }: Operation, who: Who): Promise<{ status: number; text: string }> {
  const url = path.replace(/\{([^}]+)\}/g, (_, name: string) => idFor(name, path, who, method));
  const token = tokenOf(who);
  const isUse = path.startsWith("/v1/use/");
  const hasBody = ["POST", "PUT", "PATCH"].includes(method);
  const isEffective = who !== "admin" || path.endsWith("/check");
  const body = (isEffective && bodies()[`${method} ${path}`]) || {};
  const answer = await fetch(`${platform.address}${url}`, {
    method,
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(hasBody && { "content-type": "application/json" }),
    },
    ...(hasBody && { body: isUse ? "{}" : JSON.stringify(body) }),
    signal: AbortSignal.timeout(20_000),
  });
  return { status: answer.status, text: `${JSON.stringify([...answer.headers])}${await answer.text()}` };
}

/** What an answer says of a right: `yes`, or how it was refused. What is read or used is told by its status. */
function told({ method, path }: Operation, status: number): string {
  if (status === 401 || status === 403) return `no (${status})`;
  return method === "GET" || path.startsWith("/v1/use/") ? String(status) : "yes";
}

describe("each member at each operation", () => {
  const seen: Record<string, Record<string, Partial<Record<Who, string>>>> = {};
  const withValue: string[] = [];
  let operations: Operation[];

  test("is as the golden file says", async () => {
    const { body } = await platform.api<{ paths: Record<string, Record<string, object>> }>(
      "GET",
      "/v1/openapi.json",
    );
    operations = Object.entries(body.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => ({ method: method.toUpperCase(), path })),
    );
    expect(operations.length).toBeGreaterThan(60);
    const state = () => platform.api("GET", "/v1/credentials/stripe");
    const { body: before } = await state();
    for (const who of MEMBERS) {
      for (const operation of operations) {
        const answer = await send(operation, who);
        const name = `${operation.method} ${operation.path}`;
        expect(answer.status, `${who}: ${name}: ${answer.text}`).toBeLessThan(500);
        if (formsIn(answer.text, forms).length > 0) withValue.push(`${who}: ${name}`);
        const [right = ""] = RIGHTS.find(([, pattern]) => pattern.test(name)) ?? [];
        seen[right] ??= {};
        seen[right][name] ??= {};
        seen[right][name][who] = told(operation, answer.status);
      }
      const { body: after } = await state();
      expect({ ...after, lastUsedAt: 0 }, who).toEqual({ ...before, lastUsedAt: 0 });
    }
    const file = new URL("credential-rights.golden.json", import.meta.url).pathname;
    await expect(`${JSON.stringify({ ...seen, "read a value": withValue }, null, 2)}\n`).toMatchFileSnapshot(
      file,
    );
  });

  test("nobody, the organization's admin included, gets the value back", () => {
    expect(operations.length).toBeGreaterThan(60);
    expect(withValue).toEqual([]);
  });

  test("whoever has one right alone has no other one; whoever has none has nothing", () => {
    const may = (who: Who) =>
      Object.entries(seen).flatMap(([right, all]) =>
        Object.entries(all).flatMap(([name, row]) =>
          row[who]?.startsWith("no") ? [] : [`${right}: ${name}`],
        ),
      );
    const open = /\/v1\/(health|ready|openapi\.json)$/;
    expect(may("nobody").filter((name) => !open.test(name))).toEqual([]);
    const operator = may("rotation operator").filter((name) => !open.test(name));
    expect(operator.filter((name) => !/^rotate: |secret\/rotat/.test(name))).toEqual([]);
    expect(operator.length).toBeGreaterThan(0);
    const auditor = may("auditor").filter((name) => !open.test(name));
    expect(auditor.filter((name) => !name.startsWith("receipts: "))).toEqual([]);
    expect(auditor.length).toBeGreaterThan(0);
    const theirs = seen.use ?? {};
    for (const [name, row] of Object.entries(theirs)) {
      if (name.includes("/v1/use/")) expect(row["another organization's admin"], name).toMatch(/404|405|no/);
    }
  });
});

import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import type { Use } from "../../services/shared/api/uses.ts";
import { headerPolicy } from "../harness/credential-jobs.ts";
import { type CredentialPlatform, startCredentialPlatform } from "../harness/credentials.ts";
import { readStore } from "../harness/thief.ts";

/* Who may do what at the intake as a process: members of another organization, of a lower level, and nobody. */

const GET = { method: "GET", path: "/v1/charges" } as const;

let platform: CredentialPlatform;
let job: Use;
beforeAll(async () => {
  platform = await startCredentialPlatform(inject("vaultBinary"));
  const { origin } = platform.destination;
  await platform.putCredential("stripe", "sk_live_a-value-of-acme");
  const made = [
    await platform.api("PUT", "/v1/webhooks/orders", undefined, { body: { url: `${origin}/hook` } }),
    await platform.api("PUT", "/v1/feeds/news", undefined, {
      body: { url: `${origin}/feed`, everySeconds: 3600 },
    }),
    await platform.api("PUT", "/v1/schedules/daily", undefined, {
      body: { when: { everySeconds: 86_400 }, credential: "stripe", request: GET },
    }),
  ];
  expect(made.map(({ status }) => status)).toEqual([201, 201, 201]);
  job = await platform.runJob({ credential: "stripe", request: GET });
});
afterAll(() => platform?.stop());

/** What is stored for the organization, but for what its own jobs and feeds write meanwhile. */
const acmes = () =>
  readStore(platform.storeFile)
    .filter(({ partition }) => partition.includes(`${platform.orgs.org_acme}`))
    .filter(({ partition }) => !/last-used|jobs\/feed|feed-items/.test(partition));

describe("an administrator of another organization", () => {
  test.each<[string, string, object?]>([
    ["GET", "/v1/credentials/stripe"],
    ["DELETE", "/v1/credentials/stripe"],
    ["POST", "/v1/credentials/stripe/disable"],
    ["POST", "/v1/credentials/stripe/enable"],
    ["POST", "/v1/jobs", { credential: "stripe", request: GET }],
    ["GET", "/v1/jobs/JOB"],
    ["GET", "/v1/jobs/JOB/events"],
    ["GET", "/v1/webhooks/orders"],
    ["POST", "/v1/webhooks/orders/rotate"],
    ["POST", "/v1/webhooks/orders/send", { payload: {} }],
    ["GET", "/v1/webhooks/orders/deliveries"],
    ["DELETE", "/v1/webhooks/orders"],
    ["GET", "/v1/feeds/news/items"],
    ["DELETE", "/v1/feeds/news"],
    ["GET", "/v1/schedules/daily"],
    ["DELETE", "/v1/schedules/daily"],
  ])("is told that there is no such thing: %s %s", async (method, path, body) => {
    const before = acmes();
    const asked = { ...(body && { body }) };
    const foreign = platform.token("org_globex");
    const { status, text } = await platform.api(method as "GET", path.replace("JOB", job.id), foreign, asked);
    expect(status, text).toBe(404);
    // The same as of what nobody has.
    expect(text).not.toMatch(/acme|stripe|orders|news|daily/);
    expect(acmes()).toEqual(before);
  });

  test.each(["credentials", "jobs", "webhooks", "feeds", "schedules"])("lists no %s of it", async (kind) => {
    const own = await platform.api<Record<string, unknown[]>>("GET", `/v1/${kind}`);
    expect(own.body[kind]?.length).toBeGreaterThan(0);
    const foreign = await platform.api("GET", `/v1/${kind}`, platform.token("org_globex"));
    expect(foreign).toMatchObject({ status: 200, body: { [kind]: [] } });
  });

  test("has a credential of the same name, and a sealing key, of its own", async () => {
    const foreign = platform.token("org_globex");
    await platform.putCredential("stripe", "sk_live_a-value-of-globex", foreign);
    const [mine, theirs] = await Promise.all([
      platform.api<{ org: string; keys: { id: string }[] }>("GET", "/v1/sealing-keys"),
      platform.api<{ org: string; keys: { id: string }[] }>("GET", "/v1/sealing-keys", foreign),
    ]);
    expect(theirs.body.org).toBe(platform.orgs.org_globex);
    expect(theirs.body.keys[0]?.id).not.toBe(mine.body.keys[0]?.id);
    platform.destination.clear();
    await platform.runJob({ credential: "stripe", request: GET });
    expect(platform.destination.effects[0]?.headers.authorization).toBe("Bearer sk_live_a-value-of-acme");
  });
});

describe("a member", () => {
  const put = (name: string, level: string) =>
    platform.api("PUT", `/v1/credentials/${name}`, undefined, {
      body: {
        ...{ value: "a value for a level", level },
        destination: headerPolicy(platform.destination.origin),
      },
    });
  const LEVELS = ["reader", "writer", "admin"] as const;

  test.each(LEVELS)("uses a credential for the level %s from that level on", async (level) => {
    expect((await put(`for-${level}`, level)).status).toBe(201);
    for (const [index, callers] of LEVELS.entries()) {
      const { status } = await platform.api("POST", "/v1/jobs", platform.token("org_acme", callers), {
        body: { credential: `for-${level}`, request: GET },
      });
      expect(status, callers).toBe(index >= LEVELS.indexOf(level) ? 202 : 403);
    }
  });

  test("who may not use a credential does not read the answers of its jobs", async () => {
    const { id } = await platform.runJob({ credential: "for-admin", request: GET });
    const { status, text } = await platform.api(
      "GET",
      `/v1/jobs/${id}`,
      platform.token("org_acme", "writer"),
    );
    expect(status, text).toBe(403);
  });

  test.each([
    "reader",
    "writer",
  ] as const)("of level %s puts, deletes and disables no credential", async (level) => {
    const token = platform.token("org_acme", level);
    const body = { value: "sk_live_of-a-member", destination: headerPolicy(platform.destination.origin) };
    const before = acmes();
    const answers = [
      await platform.api("PUT", "/v1/credentials/stripe", token, { body }),
      await platform.api("DELETE", "/v1/credentials/stripe", token),
      await platform.api("POST", "/v1/credentials/stripe/disable", token),
      await platform.api("POST", "/v1/sealing-keys/rotate", token),
    ];
    expect(answers.map(({ status }) => status)).toEqual([403, 403, 403, 403]);
    expect(acmes()).toEqual(before);
  });
});

test("nobody gets anything but health, readiness and the description", async () => {
  const { body } = await platform.api<{ paths: Record<string, object> }>("GET", "/v1/openapi.json");
  const open: string[] = [];
  for (const [path, methods] of Object.entries(body.paths)) {
    for (const method of Object.keys(methods)) {
      const answer = await fetch(
        `${platform.address}${path.replace(/\{id\}/g, job.id).replace(/\{\w+\}/g, "stripe")}`,
        {
          method: method.toUpperCase(),
        },
      );
      await answer.body?.cancel();
      if (answer.status !== 401) open.push(path);
    }
  }
  expect(open.sort()).toEqual(["/v1/health", "/v1/openapi.json", "/v1/ready"]);
});

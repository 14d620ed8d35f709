import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import type { Credential } from "../../services/shared/api/credentials.ts";
import type { Use, UseWithResult } from "../../services/shared/api/uses.ts";
import { headerPolicy } from "../harness/credential-jobs.ts";
import { type CredentialPlatform, startCredentialPlatform } from "../harness/credentials.ts";
import { readStore } from "../harness/thief.ts";

/* Hostile and simultaneous requests to the intake as a process, over HTTP: jobs that are refused, and what races store. */

const VALUE = "sk_live_a-value-of-acme";
const GET = { method: "GET", path: "/v1/charges" } as const;

let platform: CredentialPlatform;
beforeAll(async () => {
  platform = await startCredentialPlatform(inject("vaultBinary"));
  await platform.putCredential("stripe", VALUE);
});
afterAll(() => platform?.stop());
beforeEach(() => platform.destination.clear());

const put = (name: string, body: unknown, headers: Record<string, string> = {}, token?: string) =>
  platform.api<Credential>("PUT", `/v1/credentials/${name}`, token, { body, headers });
const body = (changes: object = {}) => ({
  value: VALUE,
  destination: headerPolicy(platform.destination.origin),
  ...changes,
});
/** What is stored, but for what a read may write. */
const stored = () =>
  readStore(platform.storeFile).filter(({ partition }) => !partition.includes("last-used"));

describe("requests at once", () => {
  test("of twenty that put a credential, each is a version of its own or a conflict, and record and value agree", async () => {
    const values = Array.from({ length: 20 }, (_, index) => `value-number-${String(index).padStart(2, "0")}`);
    const answers = await Promise.all(values.map((value) => put("raced", body({ value }))));
    const versions = answers.filter(({ status }) => status < 300).map(({ body }) => body.version);
    expect(answers.filter(({ status }) => ![200, 201, 409].includes(status))).toEqual([]);
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect([...versions].sort((a, b) => a - b)).toEqual(
      versions.map((_, index) => index + 1).sort((a, b) => a - b),
    );
    const rows = stored().filter(({ sort }) => sort === "raced");
    expect(rows.map(({ body: { version } }) => version)).toEqual([versions.length, versions.length]);
    const last = answers.findIndex(({ body: { version } }) => version === versions.length);
    await platform.runJob({ credential: "raced", request: GET });
    expect(platform.destination.effects[0]?.headers.authorization).toBe(`Bearer ${values[last]}`);
  });

  test("with the same condition, one is done and the others are told", async () => {
    const once = await Promise.all([1, 2, 3, 4].map(() => put("once", body(), { "if-none-match": "*" })));
    expect(once.map(({ status }) => status).sort()).toEqual([201, 412, 412, 412]);
    const next = await Promise.all([1, 2, 3, 4].map(() => put("once", body(), { "if-match": '"1"' })));
    expect(next.map(({ status }) => status).sort()).toEqual([200, 412, 412, 412]);
  });

  test("of a put and a delete, none leaves half of a credential", async () => {
    for (let round = 0; round < 5; round++) {
      await put("halved", body());
      await Promise.all([put("halved", body()), platform.api("DELETE", "/v1/credentials/halved")]);
      const rows = stored().filter(({ sort, body }) => sort === "halved" && !("deletedAt" in body));
      expect([0, 2]).toContain(rows.length);
      expect(new Set(rows.map(({ body: { version } }) => version)).size).toBeLessThanOrEqual(1);
    }
  });

  test("with the same Idempotency-Key, one job; another request with that key is a conflict", async () => {
    const asked = { body: { credential: "stripe", request: GET }, headers: { "idempotency-key": "abc" } };
    const jobs = await Promise.all(
      [1, 2, 3, 4, 5].map(() => platform.api<Use>("POST", "/v1/jobs", undefined, asked)),
    );
    expect(new Set(jobs.map(({ body: { id } }) => id)).size).toBe(1);
    const other = { ...asked, body: { ...asked.body, request: { ...GET, path: "/v1/other" } } };
    expect((await platform.api("POST", "/v1/jobs", undefined, other)).status).toBe(409);
    const id = jobs[0]?.body.id ?? "";
    const state = async () => (await platform.api<Use>("GET", `/v1/jobs/${id}`)).body.state;
    await expect.poll(state).toBe("succeeded");
    expect(platform.destination.count(id)).toBe(1);
  });
});

describe("a job", () => {
  const job = (changes: object, token?: string) =>
    platform.api<Use>("POST", "/v1/jobs", token, {
      body: { credential: "stripe", request: GET, ...changes },
    });

  test.each<[string, number, object]>([
    ["for no credential", 404, { credential: "none" }],
    ["for a path that the policy has not", 422, { request: { ...GET, path: "/admin" } }],
    ["for a path with dot segments", 422, { request: { ...GET, path: "/v1/../admin" } }],
    ["for a path with a query", 422, { request: { ...GET, path: "/v1/charges?a=b" } }],
    ["for an absolute URL", 400, { request: { ...GET, path: "https://elsewhere.example/v1/charges" } }],
    ["for another host by two slashes", 422, { request: { ...GET, path: "//elsewhere.example/v1/charges" } }],
    ["for a path with a line break", 400, { request: { ...GET, path: "/v1/\r\nHost: a" } }],
    ["with a method that the policy has not", 422, { request: { ...GET, method: "DELETE" } }],
    ["with a method that is none", 400, { request: { ...GET, method: "TRACE" } }],
    ["with the header Host", 422, { request: { ...GET, headers: { Host: "elsewhere.example" } } }],
    ["with the injected header", 422, { request: { ...GET, headers: { authorization: "Bearer mine" } } }],
    [
      "with an Idempotency-Key for the destination",
      422,
      { request: { ...GET, headers: { "Idempotency-Key": "a" } } },
    ],
    ["with a header twice", 422, { request: { ...GET, headers: { "X-A": "a", "x-a": "b" } } }],
    ["with a header's name that is none", 400, { request: { ...GET, headers: { "X A": "a" } } }],
    ["with a header's name with an underscore", 400, { request: { ...GET, headers: { X_A: "a" } } }],
    ["with a header that is no text", 400, { request: { ...GET, headers: { "X-A": { a: "b" } } } }],
    [
      "with a header's value with a line break",
      400,
      { request: { ...GET, headers: { "X-A": "a\r\nB: c" } } },
    ],
    ["with a body and GET", 422, { request: { ...GET, body: { text: "a" } } }],
    [
      "with a body over 128 KiB",
      413,
      { request: { ...GET, method: "POST", body: { text: "é".repeat(70_000) } } },
    ],
    ["with a result key that is no point", 422, { sealResultTo: "A".repeat(87) }],
    ["with a destination of its own", 400, { destination: { origin: "https://elsewhere.example" } }],
    ["that never ends", 400, { timeoutSeconds: 1e9 }],
  ])("%s: %i, and nothing is sent", async (_, status, changes) => {
    const before = stored();
    const answer = await job(changes);
    expect(answer.status, answer.text).toBe(status);
    expect(stored()).toEqual(before);
    expect(platform.destination.connections).toBe(0);
  });

  test("for a disabled credential: 409, until it is enabled", async () => {
    expect((await platform.api("POST", "/v1/credentials/stripe/disable")).status).toBe(200);
    expect(await job({})).toMatchObject({ status: 409, body: { code: "credential_disabled" } });
    expect((await platform.api("POST", "/v1/credentials/stripe/enable")).status).toBe(200);
    expect((await job({})).status).toBe(202);
  });

  test("whose result is no longer kept: 410; the job itself is still there", async () => {
    const { id } = await platform.runJob({ credential: "stripe", request: GET });
    const database = new DatabaseSync(platform.storeFile, { timeout: 5_000 });
    const { changes } = database
      .prepare(`UPDATE items SET expires = 1 WHERE "partition" LIKE '%/results' AND sort = ?`)
      .run(id);
    database.close();
    expect(changes).toBe(1);
    expect(await platform.api("GET", `/v1/jobs/${id}`)).toMatchObject({
      status: 410,
      body: { code: "result_gone" },
    });
    expect((await platform.api("GET", `/v1/jobs/${id}?result=omit`)).status).toBe(200);
  });

  test("that waits, of a credential deleted meanwhile, is sent while it may start: this remains possible", async () => {
    const [worker] = platform.workers;
    await worker?.kill("SIGTERM");
    await put("waiting", body({ value: "a value that is deleted" }));
    const { body: use } = await job({ credential: "waiting" });
    expect((await platform.api("DELETE", "/v1/credentials/waiting")).status).toBe(204);
    await worker?.start();
    await expect
      .poll(async () => (await platform.api<UseWithResult>("GET", `/v1/jobs/${use.id}`)).body.state)
      .toBe("succeeded");
    expect(platform.destination.effects[0]?.headers.authorization).toBe("Bearer a value that is deleted");
  });
});

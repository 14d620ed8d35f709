import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { verifyReceipts } from "../../../services/cli/receipts/verify.ts";
import { createReceipts, type ReceiptWriter } from "../../../services/intake/receipts/receipts.ts";
import { readLines } from "../../../services/shared/receipts/export.ts";
import { eventually, type IntakeStage, startIntakeStage, type TestIntake } from "../../harness/intake.ts";
import { completion, intent, keysOf } from "../../harness/receipts.ts";

let stage: IntakeStage;
let intake: TestIntake;
let receipts: ReceiptWriter;
let token: string;
beforeEach(async () => {
  stage = await startIntakeStage();
  intake = await stage.start();
  receipts = createReceipts({ store: stage.store, log: pino({ enabled: false }), now: stage.clock.now });
  token = stage.token("admin");
});
afterEach(async () => {
  await receipts.stop();
  await stage.close();
});

const get = (path: string, as = token) => intake.call("GET", `/v1/receipts${path}`, { token: as });
const sequences = ({ json }: { json: { receipts: { entry: { sequence: number } }[] } }) =>
  json.receipts.map(({ entry }) => entry.sequence);
const use = async (changes = {}, org = stage.acme) => {
  const begun = await receipts.begin(org, intent(changes));
  await receipts.complete(org, begun, completion());
};
/** All pages, by the cursor of each. */
async function all(query: string, cursor: "after" | "before", from?: string) {
  const found: number[] = [];
  for (let pages = 0, next = from; pages < 50; pages++) {
    const page = await get(`?${query}${next === undefined ? "" : `&${cursor}=${next}`}`);
    expect(page.status).toBe(200);
    found.push(...sequences(page));
    next = page.json.next;
    if (next === undefined) return found;
  }
  throw new Error("more than 50 pages");
}

test("an organization without receipts has a chain that begins nowhere", async () => {
  const page = await get("");
  expect(page).toMatchObject({ status: 200, json: { receipts: [], head: { sequence: 0 } } });
  expect((await get("/checkpoints")).json).toEqual({ checkpoints: [] });
  const { text } = await get("/export");
  expect(text.trim().split("\n")).toHaveLength(2);
});

test("pages are newest first, or oldest first after an entry, and each entry is on one", async () => {
  for (let round = 0; round < 6; round++) await Promise.all([use(), use(), use()]);
  expect(sequences(await get("?limit=3"))).toEqual([36, 35, 34]);
  expect(sequences(await get("?limit=3&before=10"))).toEqual([9, 8, 7]);
  expect(sequences(await get("?limit=3&after=10"))).toEqual([11, 12, 13]);
  const every = Array.from({ length: 36 }, (_, index) => index + 1);
  expect(await all("limit=5", "before")).toEqual(every.toReversed());
  expect(await all("limit=5", "after", "0")).toEqual(every);
  expect(await all("limit=7", "after", "33")).toEqual([34, 35, 36]);
  expect((await get("?after=36")).json).toMatchObject({ receipts: [] });
  expect((await get("?before=1")).json).toMatchObject({ receipts: [] });
});

test("receipts are found by credential and by id, with their completions", async () => {
  await use({ credential: "one" });
  await use({ credential: "two", id: "wanted" });
  await use({ credential: "one" });
  expect(sequences(await get("?credential=one"))).toEqual([6, 5, 2, 1]);
  expect(sequences(await get("?id=wanted"))).toEqual([4, 3]);
  expect(sequences(await get("?id=wanted&credential=one"))).toEqual([]);
  expect(await all("limit=1&credential=two", "after", "0")).toEqual([3, 4]);
});

test("a page is looked for in a bounded number of blocks", async () => {
  await use({ id: "first" });
  for (let round = 0; round < 140; round++) await use();
  const page = await get("?id=first");
  expect(page.json.receipts).toEqual([]);
  expect(await all("id=first", "before", page.json.next)).toEqual([2, 1]);
});

test("the newest checkpoint is on each page, and all are in a list", async () => {
  for (let round = 1; round <= 3; round++) {
    await use();
    stage.clock.skip(50);
    await eventually(async () => (await get("?limit=1")).json.checkpoint?.sequence).toBe(2 * round);
  }
  const page = await get("/checkpoints?limit=2");
  expect(page.json).toMatchObject({ checkpoints: [{ sequence: 6 }, { sequence: 4 }], next: "4" });
  expect((await get("/checkpoints?limit=2&before=4")).json).toMatchObject({ checkpoints: [{ sequence: 2 }] });
  expect((await get("?limit=1")).json.checkpoint.ageSeconds).toBeLessThan(60);
});

test("an export verifies by the keys that the intake says, and holds one organization's receipts", async () => {
  await Promise.all([use(), use(), use({}, stage.globex)]);
  stage.clock.skip(50);
  await eventually(async () => (await get("?limit=1")).json.checkpoint?.sequence).toBe(4);
  const keys = await get("/keys");
  expect(keys.json.keys).toHaveLength(1);
  expect(Object.keys(keys.json.keys[0]).sort()).toEqual(["alg", "crv", "kid", "kty", "use", "x", "y"]);
  const answer = await fetch(`${intake.address}/v1/receipts/export`, {
    headers: { authorization: `Bearer ${token}` },
  });
  expect(answer.headers.get("content-type")).toBe("application/x-ndjson");
  const verified = await verifyReceipts(readLines(answer.body as AsyncIterable<Uint8Array>), {
    ...{ keys: await keysOf(stage.signer), org: stage.acme },
  });
  expect(verified).toMatchObject({ intents: 2, completions: 2, unsigned: 0, checkpoints: 1 });
});

test("a chain of many blocks is exported whole while it grows", async () => {
  for (let round = 0; round < 30; round++) await use();
  const text = get("/export");
  await Promise.all([use(), use(), use()]);
  const lines = (await text).text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  async function* each() {
    yield* lines;
  }
  const { end } = await verifyReceipts(each(), { keys: await keysOf(stage.signer) });
  expect(end.sequence).toBeGreaterThanOrEqual(60);
});

test("two exports at once are enough for an organization", async () => {
  const { query } = stage.store;
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  stage.store.query = async (partition, range) => {
    if (partition.endsWith("/receipts")) await held;
    return query(partition, range);
  };
  await use();
  const open = [get("/export"), get("/export")];
  await eventually(async () => (await get("/export")).status).toBe(429);
  release();
  for (const each of open) expect((await each).status).toBe(200);
  await eventually(async () => (await get("/export")).status).toBe(200);
});

test.each([
  "",
  "/checkpoints",
  "/keys",
  "/export",
])("GET /v1/receipts%s is not for readers and writers", async (path) => {
  for (const as of [stage.token(), stage.token("writer")]) expect((await get(path, as)).status).toBe(403);
  expect((await intake.call("GET", `/v1/receipts${path}`)).status).toBe(401);
});

test("an auditor reads receipts and nothing else", async () => {
  await use();
  const { groupsClaim, orgClaim } = stage.issuer.issuer;
  const auditor = stage.issuer.token({ sub: "audrey", [orgClaim]: "org_acme", [groupsClaim]: ["auditor"] });
  expect(sequences(await get("", auditor))).toEqual([2, 1]);
  for (const path of ["/checkpoints", "/keys", "/export"])
    expect((await get(path, auditor)).status).toBe(200);
  expect((await intake.call("GET", "/v1/credentials", { token: auditor })).status).toBe(403);
});

test.each([
  "?after=1&before=2",
  "?after=-1",
  "?before=x",
  "?limit=0",
  "?limit=101",
  "?id=",
  "?credential=A%20b",
  "?more=1",
])("the query %s is refused", async (query) => {
  expect((await get(query)).status).toBe(400);
});

test("without the signer's keys the answer says so", async () => {
  const { KeyProviderError } = await import("../../../services/shared/envelope/key-provider.ts");
  stage.signer.failure = new KeyProviderError("unavailable", "sealed");
  expect(await get("/keys")).toMatchObject({ status: 503, json: { code: "key_provider_unavailable" } });
});

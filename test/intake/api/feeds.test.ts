import { afterEach, beforeEach, expect, test } from "vitest";
import type { FeedItem, Outcome } from "../../../services/shared/work/messages.ts";
import {
  eventually,
  type IntakeStage,
  type Message,
  startIntakeStage,
  type TestIntake,
} from "../../harness/intake.ts";

let stage: IntakeStage;
let intake: TestIntake;
let seen: Message[];
let outcome: (message: Message) => Outcome | undefined;
beforeEach(async () => {
  stage = await startIntakeStage();
  intake = await stage.start();
  outcome = () => fetched(items(3));
  seen = stage.answer("feed", (message) => outcome(message));
});
afterEach(() => stage.close());

const URL = "https://feeds.example.com/rss";
/** As a feed lists them: the newest first. */
const items = (count: number, from = 0): FeedItem[] =>
  Array.from({ length: count }, (_, index) => ({ id: `item-${from + count - 1 - index}`, title: "t" }));
const fetched = (list: FeedItem[], more: object = {}): Outcome => ({
  ...{
    state: "fetched",
    notModified: false,
    etag: '"e1"',
    lastModified: "yesterday",
    title: "News",
    items: list,
  },
  ...more,
});
const call = (method: string, path: string, body?: unknown) =>
  intake.call(method, `/v1/feeds/${path}`, {
    token: stage.token("writer"),
    ...(body !== undefined && { body }),
  });
const put = (changes: object = {}) => call("PUT", "news", { url: URL, everySeconds: 300, ...changes });
const get = async () => (await call("GET", "news")).json;
const list = async (query = "") => (await call("GET", `news/items${query}`)).json;
const ids = (page: { items: FeedItem[] }) => page.items.map(({ id }) => id);

test("a feed is fetched at once and then by its interval; validators go along, and new items come once", async () => {
  expect(await put()).toMatchObject({ status: 201, json: { name: "news", items: 0 } });
  await eventually(get).toMatchObject({ items: 3, title: "News" });
  expect(seen[0]).toMatchObject({ type: "fetch", url: URL });
  expect(seen[0]?.etag).toBeUndefined();
  const page = await list();
  expect(ids(page)).toEqual(["item-0", "item-1", "item-2"]);

  outcome = () => fetched([...items(2, 3), ...items(3)]);
  stage.clock.skip(331);
  await eventually(get).toMatchObject({ items: 5 });
  expect(seen[1]).toMatchObject({ etag: '"e1"', lastModified: "yesterday" });
  const newer = await list(`?cursor=${page.next}`);
  expect(ids(newer)).toEqual(["item-3", "item-4"]);
  expect(await list(`?cursor=${newer.next}`)).toEqual({ items: [], next: newer.next });
  expect(ids(await list("?limit=2"))).toEqual(["item-0", "item-1"]);
});

test("the same result twice, and what is not modified, add nothing", async () => {
  await put();
  await eventually(async () => (await get()).lastFetchedAt).toBeDefined();
  const [first] = seen as [Message];
  await stage.report("feed", first, fetched(items(9)));
  await eventually(() => stage.log.some((line) => line.includes("not awaited"))).toBe(true);
  expect((await get()).items).toBe(3);
  outcome = () => fetched([], { notModified: true });
  const before = (await get()).lastFetchedAt;
  stage.clock.skip(331);
  await eventually(async () => (await get()).lastFetchedAt !== before).toBe(true);
  expect((await get()).items).toBe(3);
});

test("a thousand items are kept; the oldest go, but none that the feed still lists", async () => {
  outcome = () => fetched(items(500));
  await put();
  const lastFetch = async () => (await get()).lastFetchedAt;
  await eventually(lastFetch).toBeDefined();
  for (const from of [400, 800]) {
    outcome = () => fetched(items(500, from));
    const before = await lastFetch();
    await call("POST", "news/fetch");
    await eventually(lastFetch).not.toBe(before);
    expect((await list("?limit=1")).items[0].id).toBe(from === 400 ? "item-0" : "item-300");
  }
  expect((await get()).items).toBe(1_000);
  const all: string[] = [];
  for (let query = "?limit=100"; ; ) {
    const page = await list(query);
    if (page.items.length === 0) break;
    all.push(...ids(page));
    query = `?limit=100&cursor=${page.next}`;
  }
  expect(all).toEqual(Array.from({ length: 1_000 }, (_, n) => `item-${n + 300}`));
});

test("a failed fetch is told, and the next one is tried by the interval", async () => {
  outcome = () => ({ state: "failed", failure: "answer_unusable", detail: "not a feed" });
  await put();
  await eventually(get).toMatchObject({ failure: { class: "answer_unusable", detail: "not a feed" } });
  outcome = () => fetched(items(1));
  stage.clock.skip(331);
  await eventually(get).toMatchObject({ items: 1 });
  expect((await get()).failure).toBeUndefined();
});

test("three intakes fetch a due feed once, and ten who ask for it now have it fetched once", async () => {
  await stage.start();
  await stage.start();
  await put();
  await eventually(() => seen.length).toBe(1);
  for (let count = 2; count <= 5; count++) {
    stage.clock.skip(331);
    await eventually(() => seen.length).toBe(count);
  }
  await eventually(async () => {
    const feeds = await stage.store.query<{ fetching?: object }>(`org/${stage.acme}/feeds`);
    return feeds[0]?.body.fetching;
  }).toBeUndefined();
  outcome = () => undefined;
  const answers = await Promise.all(Array.from({ length: 10 }, () => call("POST", "news/fetch")));
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 202));
  await eventually(() => seen.length).toBe(6);
  expect(new Set(seen.map(({ job }) => job)).size).toBe(6);
});

test("another URL is fetched without the old validators; a deleted feed leaves nothing", async () => {
  await put();
  await eventually(get).toMatchObject({ items: 3 });
  await put({ url: "https://feeds.example.com/atom" });
  await eventually(() => seen.length).toBe(2);
  expect(seen[1]).toMatchObject({ url: "https://feeds.example.com/atom" });
  expect(seen[1]?.etag).toBeUndefined();
  await eventually(get).toMatchObject({ title: "News" });
  expect((await call("DELETE", "news")).status).toBe(204);
  expect((await call("GET", "news/items")).status).toBe(404);
  for (const partition of ["feeds", "feed-content", "feed-items/news"]) {
    expect(await stage.store.query(`org/${stage.acme}/${partition}`)).toEqual([]);
  }
  stage.clock.skip(700);
  await put({ everySeconds: 600 });
  await eventually(() => seen.length).toBe(3);
});

test.each([
  ["too often", { everySeconds: 299 }, 400],
  ["plain HTTP", { url: "http://feeds.example.com/" }, 422],
  ["an address", { url: "https://169.254.169.254/latest/meta-data" }, 422],
  ["a port", { url: "https://feeds.example.com:6379/" }, 422],
  ["a file", { url: "file:///etc/passwd" }, 422],
])("refused: %s", async (_, changes, status) => {
  expect((await put(changes)).status).toBe(status);
  expect(seen).toEqual([]);
});

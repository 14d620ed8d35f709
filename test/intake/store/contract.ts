import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compareUtf8 } from "../../../services/intake/store/limits.ts";
import type { Item, Range, Store, Write } from "../../../services/intake/store/store.ts";

/** Opens a connection of its own to one store that is empty at first. */
export type Open = (options?: { now?: () => number }) => Promise<Store>;

let partitions = 0;
/** A partition that no other test uses. */
const newPartition = () => `p${++partitions}`;
const sorts = (items: Item<unknown>[]) => items.map(({ sort }) => sort);

/** What every store does. `runs` is how many random sequences are compared with a model, `length` how long they are. */
export function storeContract(open: Open, { runs, length }: { runs: number; length: number }): void {
  let store: Store;
  let time = 1_800_000_000_000;
  const now = () => time;
  beforeAll(async () => {
    store = await open({ now });
  });
  afterAll(() => store?.close());

  const fill = async (partition: string, keys: string[]) => {
    for (const sort of keys) expect(await store.write([{ partition, sort, body: sort }])).toBe(true);
  };

  test("an item is what was written, and its revision grows", async () => {
    const key = { partition: newPartition(), sort: "a" };
    expect(await store.get(key)).toBeUndefined();
    const body = { text: "é \u{1f511} \u0000", list: [1, null, true], nested: { a: {} } };
    expect(await store.write([{ ...key, body }])).toBe(true);
    expect(await store.get(key)).toEqual({ ...key, body, revision: 1 });
    expect(await store.write([{ ...key, body: 2 }])).toBe(true);
    expect(await store.get(key)).toEqual({ ...key, body: 2, revision: 2 });
    expect(await store.write([{ ...key, body: null, expect: 2 }])).toBe(true);
    expect(await store.get(key)).toEqual({ ...key, body: null, revision: 3 });
    expect(await store.write([{ ...key, remove: true }])).toBe(true);
    expect(await store.get(key)).toBeUndefined();
    expect(await store.write([{ ...key, remove: true }])).toBe(true);
  });

  test("a condition that does not hold changes nothing", async () => {
    const key = { partition: newPartition(), sort: "a" };
    expect(await store.write([{ ...key, body: 1, expect: 1 }])).toBe(false);
    expect(await store.write([{ ...key, remove: true, expect: 1 }])).toBe(false);
    expect(await store.write([{ ...key, body: 1, expect: 0 }])).toBe(true);
    expect(await store.write([{ ...key, body: 2, expect: 0 }])).toBe(false);
    expect(await store.write([{ ...key, body: 2, expect: 2 }])).toBe(false);
    expect(await store.write([{ ...key, remove: true, expect: 2 }])).toBe(false);
    expect(await store.write([{ ...key, remove: true, expect: 0 }])).toBe(false);
    expect(await store.get(key)).toEqual({ ...key, body: 1, revision: 1 });
    expect(await store.write([{ ...key, remove: true, expect: 1 }])).toBe(true);
    expect(await store.get(key)).toBeUndefined();
  });

  test("all writes of a call take place, or none", async () => {
    const partition = newPartition();
    await fill(partition, ["there"]);
    const writes = (expected: number): Write[] => [
      ...Array.from({ length: 8 }, (_, index) => ({
        partition,
        sort: `new ${index}`,
        body: index,
        expect: 0,
      })),
      { partition, sort: "there", remove: true, expect: expected },
      { partition: `${partition} other`, sort: "a", body: "other" },
    ];
    expect(await store.write(writes(7))).toBe(false);
    expect(sorts(await store.query(partition))).toEqual(["there"]);
    expect(await store.query(`${partition} other`)).toEqual([]);
    expect(await store.write(writes(1))).toBe(true);
    expect(await store.query(partition)).toHaveLength(8);
    expect(await store.query(`${partition} other`)).toHaveLength(1);
  });

  test("a query has prefix, after, upTo, limit and both directions", async () => {
    const partition = newPartition();
    await fill(partition, ["a", "a/1", "a/2", "a/3", "b", "b/1"]);
    const query = async (range: Range) => sorts(await store.query(partition, range));
    expect(await query({})).toEqual(["a", "a/1", "a/2", "a/3", "b", "b/1"]);
    expect(await query({ prefix: "a/" })).toEqual(["a/1", "a/2", "a/3"]);
    expect(await query({ prefix: "a/", after: "a/1" })).toEqual(["a/2", "a/3"]);
    expect(await query({ prefix: "a/", after: "a/0" })).toEqual(["a/1", "a/2", "a/3"]);
    expect(await query({ prefix: "a/", descending: true })).toEqual(["a/3", "a/2", "a/1"]);
    expect(await query({ prefix: "a/", descending: true, after: "a/3" })).toEqual(["a/2", "a/1"]);
    expect(await query({ prefix: "a/", descending: true, after: "z" })).toEqual(["a/3", "a/2", "a/1"]);
    expect(await query({ upTo: "a/2" })).toEqual(["a", "a/1", "a/2"]);
    expect(await query({ upTo: "a/2", descending: true, limit: 2 })).toEqual(["a/2", "a/1"]);
    expect(await query({ after: "a/2", upTo: "a/2" })).toEqual([]);
    expect(await query({ prefix: "b", upTo: "a" })).toEqual([]);
    expect(await query({ limit: 2, after: "a/1" })).toEqual(["a/2", "a/3"]);
    expect(await store.query(newPartition())).toEqual([]);
  });

  test("keys are in the order of their UTF-8, also beyond U+FFFF, and a prefix may end anywhere", async () => {
    const partition = newPartition();
    const keys = ["\u0001", "a", "é", "\ud7ff", "\ue000", "\uffff", "\u{10000}", "\u{1f511}", "\u{10ffff}z"];
    await fill(partition, [...keys].reverse());
    expect(sorts(await store.query(partition))).toEqual(keys);
    expect(sorts(await store.query(partition, { after: "\uffff" }))).toEqual(keys.slice(6));
    for (const key of keys) expect(sorts(await store.query(partition, { prefix: key }))).toEqual([key]);
    expect(sorts(await store.query(partition, { prefix: "\u{10ffff}" }))).toEqual(["\u{10ffff}z"]);
  });

  test("a query has 100 items unless told, and more than DynamoDB's page of 1 MiB", async () => {
    const partition = newPartition();
    const body = "x".repeat(20_000);
    const keys = Array.from({ length: 110 }, (_, index) => String(1000 + index));
    for (let from = 0; from < keys.length; from += 10) {
      await store.write(keys.slice(from, from + 10).map((sort) => ({ partition, sort, body })));
    }
    expect(sorts(await store.query(partition))).toEqual(keys.slice(0, 100));
    expect(sorts(await store.query(partition, { limit: 105 }))).toEqual(keys.slice(0, 105));
  });

  test("an item that has expired is absent for reads and conditions", async () => {
    const partition = newPartition();
    const expiresAt = Math.floor(time / 1000) + 10;
    await store.write([
      { partition, sort: "a", body: 1, expiresAt },
      { partition, sort: "b", body: 1, expiresAt: expiresAt + 10 },
      { partition, sort: "c", body: 1 },
    ]);
    time += 9_000;
    expect(sorts(await store.query(partition))).toEqual(["a", "b", "c"]);
    time += 1_000;
    expect(sorts(await store.query(partition))).toEqual(["b", "c"]);
    expect(await store.get({ partition, sort: "a" })).toBeUndefined();
    expect(await store.write([{ partition, sort: "a", body: 2, expect: 1 }])).toBe(false);
    expect(await store.write([{ partition, sort: "a", body: 2, expect: 0 }])).toBe(true);
    // A write without an expiry ends the earlier one.
    expect(await store.write([{ partition, sort: "b", body: 2 }])).toBe(true);
    time += 60_000;
    expect(sorts(await store.query(partition))).toEqual(["a", "b", "c"]);
  });

  test("of conditional writes from two connections at once, one takes place", async () => {
    const other = await open({ now });
    try {
      const partition = newPartition();
      for (let round = 0; round < 20; round++) {
        const write = (each: Store, body: string) =>
          each.write([{ partition, sort: "slot", body, expect: round }]);
        const answers = await Promise.all([
          write(store, "one"),
          write(other, "other"),
          write(store, "third"),
        ]);
        expect(answers.filter(Boolean)).toHaveLength(1);
        const winner = ["one", "other", "third"][answers.indexOf(true)];
        expect(await other.get({ partition, sort: "slot" })).toMatchObject({
          body: winner,
          revision: round + 1,
        });
      }
    } finally {
      await other.close();
    }
  });

  test("increments from two connections are all counted", async () => {
    const other = await open({ now });
    try {
      const key = { partition: newPartition(), sort: "count" };
      const increment = async (each: Store): Promise<void> => {
        const item = await each.get<number>(key);
        const body = (item?.body ?? 0) + 1;
        if (!(await each.write([{ ...key, body, expect: item?.revision ?? 0 }]))) await increment(each);
      };
      await Promise.all(
        [store, other].map(async (each) => {
          for (let count = 0; count < 25; count++) await increment(each);
        }),
      );
      expect(await store.get(key)).toMatchObject({ body: 50, revision: 50 });
    } finally {
      await other.close();
    }
  });

  describe("sizes", () => {
    const key = { partition: "sizes", sort: "a" };

    test("a body of 380 KiB is kept, a longer one is refused", async () => {
      const body = "é".repeat((380 * 1024 - 2) / 2);
      expect(await store.write([{ ...key, body }])).toBe(true);
      expect((await store.get(key))?.body).toBe(body);
      await expect(store.write([{ ...key, body: `${body}é` }])).rejects.toThrow(RangeError);
    });

    test("keys have DynamoDB's lengths", async () => {
      const longest = { partition: "p".repeat(2048), sort: "é".repeat(512) };
      expect(await store.write([{ ...longest, body: 1 }])).toBe(true);
      expect(await store.get(longest)).toMatchObject({ body: 1 });
      for (const wrong of [
        { partition: "p".repeat(2049), sort: "a" },
        { partition: "a", sort: "é".repeat(513) },
        { partition: "", sort: "a" },
        { partition: "a", sort: "" },
        { partition: "a", sort: "\ud800" },
      ]) {
        await expect(store.write([{ ...wrong, body: 1 }])).rejects.toThrow(RangeError);
        await expect(store.get(wrong)).rejects.toThrow(RangeError);
      }
    });

    test("a write has 1 to 10 items, none of them twice", async () => {
      const writes = Array.from({ length: 11 }, (_, index) => ({ ...key, sort: `${index}`, body: 1 }));
      for (const wrong of [
        [],
        writes,
        [
          { ...key, body: 1 },
          { ...key, remove: true as const },
        ],
      ]) {
        await expect(store.write(wrong)).rejects.toThrow(RangeError);
      }
      await expect(store.write([{ ...key, body: undefined }])).rejects.toThrow(RangeError);
      await expect(store.write([{ ...key, body: 1, expiresAt: 1.5 }])).rejects.toThrow(RangeError);
    });
  });

  test("it does what a model does, whatever the order of operations", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: length, maxLength: length }), async (operations) => {
        const partition = newPartition();
        const model = new Map<string, { body: unknown; revision: number }>();
        for (const each of operations) {
          if ("range" in each) {
            expect(await store.query(partition, each.range)).toEqual(ofModel(model, partition, each.range));
          } else {
            const writes = each.writes.map((write) => ({ ...write, partition }));
            expect(await store.write(writes)).toBe(applyToModel(model, writes));
          }
        }
      }),
      { numRuns: runs },
    );
  }, 120_000);
}

const sort = fc.constantFrom("a", "ab", "b", "\uffff", "\u{10000}", "a\u{10ffff}", "a\u{10ffff}b", "aa");
const revision = fc.integer({ min: 0, max: 3 });
const write = fc.oneof(
  fc.record(
    { sort, body: fc.jsonValue({ maxDepth: 1 }), expect: revision },
    { requiredKeys: ["sort", "body"] },
  ),
  fc.record(
    { sort, remove: fc.constant(true as const), expect: revision },
    { requiredKeys: ["sort", "remove"] },
  ),
);
const range = fc.record(
  {
    prefix: sort,
    after: sort,
    upTo: sort,
    limit: fc.integer({ min: 1, max: 5 }),
    descending: fc.boolean(),
  },
  { requiredKeys: [] },
);
const operation = fc.oneof(
  fc.record({
    writes: fc.uniqueArray(write, { minLength: 1, maxLength: 3, selector: (each) => each.sort }),
  }),
  fc.record({ range }),
);

type Model = Map<string, { body: unknown; revision: number }>;

function applyToModel(model: Model, writes: Write[]): boolean {
  const isMet = writes.every(
    (each) => each.expect === undefined || each.expect === (model.get(each.sort)?.revision ?? 0),
  );
  if (!isMet) return false;
  for (const each of writes) {
    if ("remove" in each) model.delete(each.sort);
    else {
      // As JSON has it: no -0.
      const body = JSON.parse(JSON.stringify(each.body)) as unknown;
      model.set(each.sort, { body, revision: (model.get(each.sort)?.revision ?? 0) + 1 });
    }
  }
  return true;
}

function ofModel(model: Model, partition: string, range: Range) {
  const { prefix = "", after, upTo, limit = 100, descending } = range;
  const direction = descending ? -1 : 1;
  return [...model]
    .map(([key, item]) => ({ partition, sort: key, ...item }))
    .filter((item) => item.sort.startsWith(prefix))
    .filter((item) => after === undefined || direction * compareUtf8(item.sort, after) > 0)
    .filter((item) => upTo === undefined || compareUtf8(item.sort, upTo) <= 0)
    .sort((a, b) => direction * compareUtf8(a.sort, b.sort))
    .slice(0, limit);
}

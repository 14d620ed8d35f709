import { join } from "node:path";
import { pino } from "pino";
import { afterEach, describe, expect, onTestFinished } from "vitest";
import { createReceipts, type ReceiptWriter } from "../../../services/intake/receipts/receipts.ts";
import { type Block, blocksPartition, openPartition } from "../../../services/intake/receipts/records.ts";
import { sqliteStore } from "../../../services/intake/store/sqlite.ts";
import { type Store, StoreUnavailableError } from "../../../services/intake/store/store.ts";
import type { Receipt } from "../../../services/shared/receipts/receipt.ts";
import { test as withFolder } from "../../harness/folder.ts";
import { completion, exported, intent, verified } from "../../harness/receipts.ts";

const ORG = "o-acme";
const NO_KEYS = { byKid: new Map(), others: [] };
const log = pino({ enabled: false });

const test = withFolder.extend("store", async ({ folder }, { onCleanup }) => {
  const store = await sqliteStore(join(folder, "store.sqlite"));
  onCleanup(() => store.close());
  return store;
});

const writers: ReceiptWriter[] = [];
afterEach(async () => {
  await Promise.all(writers.splice(0).map((writer) => writer.settled()));
});
/** The receipts of one intake. */
function receiptsAt(store: Store, now = Date.now): ReceiptWriter {
  const receipts = createReceipts({ store, log, now });
  writers.push(receipts);
  return receipts;
}
const check = async (store: Store) => verified(await exported(store, ORG), NO_KEYS);
const blocks = (store: Store) => store.query<Block>(blocksPartition(ORG), { limit: 1_000 });

describe("one intake", () => {
  test("an intent and its completion are entries of a chain that verifies", async ({ store }) => {
    const receipts = receiptsAt(store);
    const begun = await receipts.begin(ORG, intent({ id: "one" }));
    expect(begun.entry).toMatchObject({ type: "intent", sequence: 1, id: "one" });
    expect(await check(store)).toMatchObject({ intents: 1, completions: 0, open: 1 });
    await receipts.complete(ORG, begun, completion());
    expect(await check(store)).toMatchObject({ intents: 1, completions: 1, open: 0, end: { sequence: 2 } });
  });

  test("what arrives during a write is the next write, one block for all", async ({ store }) => {
    const receipts = receiptsAt(store);
    const begun = await Promise.all(Array.from({ length: 300 }, () => receipts.begin(ORG, intent())));
    expect(begun.map(({ entry }) => entry.sequence)).toEqual(Array.from({ length: 300 }, (_, at) => at + 1));
    expect((await blocks(store)).map(({ body }) => body.receipts.length)).toEqual([1, 299]);
    await Promise.all(begun.map((each) => receipts.complete(ORG, each, completion())));
    expect(await check(store)).toMatchObject({ intents: 300, completions: 300, open: 0 });
  });

  test("a block stays below the store's limit for an item", async ({ store }) => {
    const receipts = receiptsAt(store);
    const pathPattern = "\u00e9".repeat(1024);
    const scopes = Array.from({ length: 64 }, () => "s".repeat(200));
    await Promise.all(
      Array.from({ length: 200 }, () => receipts.begin(ORG, intent({ pathPattern, scopes }))),
    );
    expect((await check(store)).intents).toBe(200);
    for (const { body } of await blocks(store)) {
      expect(Buffer.byteLength(JSON.stringify(body))).toBeLessThan(300 * 1024);
    }
  });

  test("organizations have chains of their own", async ({ store }) => {
    const receipts = receiptsAt(store);
    await Promise.all([receipts.begin(ORG, intent()), receipts.begin("o-globex", intent())]);
    expect((await check(store)).end.sequence).toBe(1);
    const globex = await exported(store, "o-globex");
    expect(await verified(globex, NO_KEYS, { org: "o-globex" })).toMatchObject({ intents: 1 });
    await expect(verified(globex, NO_KEYS, { org: ORG })).rejects.toMatchObject({
      fault: "other_organization",
    });
  });

  test("only the first completion of an intent counts", async ({ store }) => {
    const receipts = receiptsAt(store);
    const begun = await receipts.begin(ORG, intent());
    await Promise.all([
      receipts.complete(ORG, begun, completion({ status: 200 })),
      receipts.complete(ORG, begun, completion({ status: 201 })),
    ]);
    await receipts.complete(ORG, begun, completion({ status: 202 }));
    expect(await check(store)).toMatchObject({ intents: 1, completions: 1 });
    const all = (await blocks(store)).flatMap(({ body }) => body.receipts);
    expect(all[1]?.entry).toMatchObject({ status: 200 });
  });

  test("a receipt of something else completes nothing", async ({ store }) => {
    const receipts = receiptsAt(store);
    const begun = await receipts.begin(ORG, intent());
    const other = { ...begun, entry: { ...begun.entry, id: "another" } } as Receipt;
    await receipts.complete(ORG, other, completion());
    expect(await check(store)).toMatchObject({ completions: 0, open: 1 });
  });

  test("what does not describe a request is refused before it is written", async ({ store }) => {
    const receipts = receiptsAt(store);
    const tooLong = { issuer: "i", subject: "s".repeat(70_000), level: "reader" } as const;
    for (const wrong of [intent({ version: 0 }), intent({ by: tooLong }), { ...intent(), more: 1 }]) {
      await expect(receipts.begin(ORG, wrong)).rejects.toMatchObject({ code: "receipts_unavailable" });
    }
    expect(await blocks(store)).toEqual([]);
  });

  test("any text in a JWT's subject is recorded as it is", async ({ store }) => {
    const receipts = receiptsAt(store);
    const subject = 'a\ud800b\u0000\u{10ffff}\u2028"\\ué';
    await receipts.begin(ORG, intent({ by: { issuer: "i", subject, level: "reader" } }));
    expect((await blocks(store))[0]?.body.receipts[0]?.entry).toMatchObject({ by: { subject } });
    expect(await check(store)).toMatchObject({ intents: 1 });
  });
});

/** A store whose writes fail as told: before they are carried out, or after. */
function failing(store: Store) {
  const state = {
    next: [] as ("before" | "after" | "ok")[],
    always: undefined as "before" | "after" | undefined,
    isWritten: false,
  };
  const faulty: Store = {
    ...store,
    async write(writes) {
      const fault = state.next.shift() ?? state.always ?? "ok";
      if (fault === "before") throw new StoreUnavailableError("away");
      const isWritten = await store.write(writes);
      state.isWritten ||= isWritten;
      if (fault === "after") throw new StoreUnavailableError("no answer");
      return isWritten;
    },
  };
  return { faulty, state };
}

describe("a store that fails", () => {
  test("a write without an answer that was carried out counts, and is not written twice", async ({
    store,
  }) => {
    const { faulty, state } = failing(store);
    const receipts = receiptsAt(faulty);
    state.next = ["after"];
    const begun = await receipts.begin(ORG, intent());
    expect(begun.entry.sequence).toBe(1);
    state.next = ["after", "before", "after"];
    await receipts.complete(ORG, begun, completion());
    expect(await check(store)).toMatchObject({ intents: 1, completions: 1, end: { sequence: 2 } });
  });

  test("a write that was not carried out is tried again", async ({ store }) => {
    const { faulty, state } = failing(store);
    state.next = ["before", "before"];
    await receiptsAt(faulty).begin(ORG, intent());
    expect(await check(store)).toMatchObject({ intents: 1 });
  });

  test("without the store nothing may be sent, and what failed may succeed later", async ({ store }) => {
    const { faulty, state } = failing(store);
    const receipts = receiptsAt(faulty);
    state.always = "before";
    await expect(receipts.begin(ORG, intent())).rejects.toMatchObject({
      code: "receipts_unavailable",
      status: 503,
    });
    state.always = undefined;
    await receipts.begin(ORG, intent());
    expect(await check(store)).toMatchObject({ intents: 1 });
  });

  test("an intent that was written although its caller was told otherwise is completed as not sent", async ({
    store,
  }) => {
    const { faulty, state } = failing(store);
    const receipts = receiptsAt(faulty);
    const { get } = faulty;
    // Nor can it be read whether it was written.
    faulty.get = async (key) => {
      if (state.isWritten) throw new StoreUnavailableError("away");
      return get(key);
    };
    state.always = "after";
    await expect(receipts.begin(ORG, intent({ id: "ghost" }))).rejects.toMatchObject({
      code: "receipts_unavailable",
    });
    state.always = undefined;
    faulty.get = get;
    await receipts.begin(ORG, intent({ id: "next" }));
    expect(
      (await blocks(store)).flatMap(({ body }) => body.receipts.map(({ entry }) => entry)),
    ).toMatchObject([
      { type: "intent", id: "ghost" },
      { type: "completion", id: "ghost", outcome: "not_sent" },
      { type: "intent", id: "next" },
    ]);
    expect(await check(store)).toMatchObject({ open: 1 });
  });

  test("what was written although its caller was told otherwise is completed even if nothing follows", async ({
    store,
  }) => {
    const { faulty, state } = failing(store);
    const receipts = receiptsAt(faulty);
    const { get } = faulty;
    faulty.get = async (key) => {
      if (state.isWritten) throw new StoreUnavailableError("away");
      return get(key);
    };
    state.always = "after";
    await expect(receipts.begin(ORG, intent())).rejects.toMatchObject({ code: "receipts_unavailable" });
    state.always = undefined;
    faulty.get = get;
    receipts.upkeep();
    await receipts.stop();
    expect(await check(store)).toMatchObject({ intents: 1, completions: 1, open: 0 });
  });

  test("a completion that cannot be written is tried again once the store is back", async ({ store }) => {
    const { faulty, state } = failing(store);
    const receipts = receiptsAt(faulty);
    const begun = await receipts.begin(ORG, intent());
    state.always = "before";
    await receipts.complete(ORG, begun, completion());
    state.always = undefined;
    receipts.upkeep();
    await receipts.stop();
    expect(await check(store)).toMatchObject({ intents: 1, completions: 1, open: 0 });
  });

  test("an intake that stops waits for the completions of what it has begun", async ({ store }) => {
    const receipts = receiptsAt(store);
    const begun = await receipts.begin(ORG, intent());
    const stopped = receipts.stop();
    void receipts.complete(ORG, begun, completion());
    await stopped;
    expect(await check(store)).toMatchObject({ completions: 1, open: 0 });
  });
});

describe("several intakes", () => {
  test("write one chain, with every entry once", async ({ folder, store }) => {
    const stores = await Promise.all([1, 2, 3].map(() => sqliteStore(join(folder, "store.sqlite"))));
    onTestFinished(() => Promise.all(stores.map((each) => each.close())).then(() => {}));
    const intakes = stores.map((each) => receiptsAt(each));
    await Promise.all(
      intakes.map(async (receipts, index) => {
        for (let round = 0; round < 20; round++) {
          const id = `${index}-${round}`;
          const begun = await Promise.all(
            [0, 1, 2].map((at) => receipts.begin(ORG, intent({ id: `${id}-${at}` }))),
          );
          await Promise.all(begun.map((each) => receipts.complete(ORG, each, completion())));
        }
      }),
    );
    expect(await check(store)).toMatchObject({ intents: 180, completions: 180, open: 0 });
  });

  test("one completes what another has begun, once", async ({ store }) => {
    const [one, other, third] = [receiptsAt(store), receiptsAt(store), receiptsAt(store)];
    const begun = await one.begin(ORG, intent());
    const second = await one.begin(ORG, intent());
    await Promise.all([one, other, third].map((each) => each.complete(ORG, begun, completion())));
    expect(await check(store)).toMatchObject({ intents: 2, completions: 1, open: 1 });
    await other.complete(ORG, second, completion());
    // It notices that its own open intents were changed.
    await one.begin(ORG, intent());
    expect(await check(store)).toMatchObject({ intents: 3, completions: 2, open: 1 });
  });

  test("one completes what many others have begun, in as many writes as it takes", async ({ store }) => {
    const begun = await Promise.all(Array.from({ length: 13 }, () => receiptsAt(store).begin(ORG, intent())));
    const last = receiptsAt(store);
    await Promise.all(begun.map((each) => last.complete(ORG, each, completion())));
    expect(await check(store)).toMatchObject({ intents: 13, completions: 13, open: 0 });
    expect((await store.query(openPartition(ORG))).length).toBe(14);
  });
});

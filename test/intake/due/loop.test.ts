import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { pino } from "pino";
import { expect } from "vitest";
import type { Intake } from "../../../services/intake/dependencies.ts";
import { type Due, dueKey, putDue } from "../../../services/intake/due/due-items.ts";
import { createDueLoop, type DueHandlers } from "../../../services/intake/due/loop.ts";
import { sqliteStore } from "../../../services/intake/store/sqlite.ts";
import { StoreUnavailableError } from "../../../services/intake/store/store.ts";
import { test } from "../../harness/folder.ts";

const AT = 1_000;
/** More than one batch in each partition. */
const items = Array.from(
  { length: 400 },
  (_, index): Due => ({ type: "feed", org: "org", name: `feed-${index}`, slot: AT }),
);

test("a pass handles all that is due; one over a store that refuses writes ends, and the next one tries again", async ({
  folder,
}) => {
  const store = await sqliteStore(join(folder, "store.sqlite"));
  try {
    for (const due of items) await store.write([putDue(due, AT)]);
    let isRefusing = true;
    const handled: string[] = [];
    const write: Intake["store"]["write"] = async (writes) => {
      await setImmediate();
      if (isRefusing) throw new StoreUnavailableError("no writes now");
      return store.write(writes);
    };
    const remove: DueHandlers["feed"] = async ({ partition, sort, body }) => {
      await write([{ partition, sort, remove: true }]);
      if ("name" in body) handled.push(body.name);
    };
    const intake = { store: { ...store, write }, log: pino({ enabled: false }), now: () => (AT + 1) * 1000 };
    const handlers = Object.fromEntries(
      ["send", "overdue", "retry", "schedule", "feed", "checkpoint", "unfinished"].map((type) => [
        type,
        remove,
      ]),
    ) as DueHandlers;
    const loop = createDueLoop(intake as unknown as Intake, handlers);
    await loop.pass();
    expect(handled).toEqual([]);
    isRefusing = false;
    await loop.pass();
    expect(handled.toSorted()).toEqual(items.map((due) => ("name" in due ? due.name : "")).toSorted());
    const [first] = items as [Due];
    expect(await store.get(dueKey(first, AT))).toBeUndefined();
  } finally {
    await store.close();
  }
});

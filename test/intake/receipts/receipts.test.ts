import { pino } from "pino";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { createReceipts } from "../../../services/intake/receipts/receipts.ts";
import { dynamodbStore } from "../../../services/intake/store/dynamodb.ts";
import { clientOf } from "../../harness/aws/cell.ts";
import { describeOnAws } from "../../harness/aws/describe.ts";
import { type MotoServer, startMoto } from "../../harness/aws/moto.ts";
import { makeStoreTable } from "../../harness/aws/store-table.ts";
import { startWire, type Wire } from "../../harness/aws/wire.ts";
import { completion, exported, intent, verified } from "../../harness/receipts.ts";

const ORG = "o-acme";
const NO_KEYS = { byKid: new Map(), others: [] };

describeOnAws("chains in DynamoDB", () => {
  let moto: MotoServer;
  let wire: Wire;
  beforeAll(async () => {
    moto = await startMoto(inject("moto"));
    // The emulator checks conditions in several threads without a lock.
    wire = await startWire({ ecs: moto.endpoint, others: moto.endpoint }, { serial: ["DynamoDB"] });
    await makeStoreTable(moto.endpoint, "credentials");
  });
  afterAll(async () => {
    await wire?.close();
    await moto?.stop();
  });

  test("three intakes at once write one chain, with every entry once", async () => {
    const stores = [1, 2, 3].map(() => dynamodbStore({ table: "credentials", ...clientOf(wire.url) }));
    const intakes = stores.map((store) =>
      createReceipts({ store, log: pino({ enabled: false }), now: Date.now }),
    );
    try {
      const begun = await Promise.all(
        intakes.map(async (receipts) => {
          const all = [];
          for (let round = 0; round < 5; round++) {
            all.push(...(await Promise.all([0, 1, 2, 3].map(() => receipts.begin(ORG, intent())))));
          }
          return all;
        }),
      );
      // Each completes what the next one has begun.
      await Promise.all(
        intakes.map((receipts, index) =>
          Promise.all(
            (begun[(index + 1) % 3] ?? []).map((each) => receipts.complete(ORG, each, completion())),
          ),
        ),
      );
      await Promise.all(intakes.map((receipts) => receipts.settled()));
      const [store] = stores;
      if (!store) throw new Error("no store");
      expect(await verified(await exported(store, ORG), NO_KEYS)).toMatchObject({
        intents: 60,
        completions: 60,
        open: 0,
      });
    } finally {
      await Promise.all(intakes.map((receipts) => receipts.stop()));
      await Promise.all(stores.map((store) => store.close()));
    }
  });
});

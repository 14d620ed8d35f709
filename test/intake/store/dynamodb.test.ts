import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { dynamodbStore } from "../../../services/intake/store/dynamodb.ts";
import { type Store, StoreUnavailableError } from "../../../services/intake/store/store.ts";
import { clientOf } from "../../harness/aws/cell.ts";
import { describeOnAws } from "../../harness/aws/describe.ts";
import { type MotoServer, startMoto } from "../../harness/aws/moto.ts";
import { makeStoreTable } from "../../harness/aws/store-table.ts";
import { startWire, type Wire } from "../../harness/aws/wire.ts";
import { storeContract } from "./contract.ts";

describeOnAws("the store in DynamoDB", () => {
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

  const open = async (options: { now?: () => number } = {}) =>
    dynamodbStore({ table: "credentials", ...clientOf(wire.url), ...options });
  storeContract(open, { runs: 10, length: 100 });

  const using = async (run: (store: Store) => Promise<void>) => {
    const store = await open();
    wire.calls.length = 0;
    try {
      await run(store);
    } finally {
      wire.heal();
      await store.close();
    }
  };
  const operations = () => wire.calls.map(({ operation }) => operation);

  test("a write of one item is no transaction", () =>
    using(async (store) => {
      await store.write([{ partition: "one", sort: "a", body: 1, expect: 0 }]);
      expect(operations()).toEqual(["UpdateItem"]);
    }));

  test("a conditional write whose answer was lost is known as ours when it is sent again", () =>
    using(async (store) => {
      wire.fail("DynamoDB UpdateItem", "lose");
      expect(await store.write([{ partition: "lost", sort: "a", body: 1, expect: 0 }])).toBe(true);
      expect(operations()).toEqual(["UpdateItem", "UpdateItem"]);
      expect(await store.get({ partition: "lost", sort: "a" })).toMatchObject({ revision: 1 });
    }));

  test("a transaction whose answer was lost is not done twice", () =>
    using(async (store) => {
      wire.fail("DynamoDB TransactWriteItems", "lose");
      await store.write([
        { partition: "lost", sort: "b", body: 1 },
        { partition: "lost", sort: "c", body: 1 },
      ]);
      const tokens = wire.calls.map(({ input }) => input.ClientRequestToken);
      expect(tokens).toHaveLength(2);
      expect(new Set(tokens).size).toBe(1);
    }));

  test("a write that another one is in the way of is tried again, but not for ever", () =>
    using(async (store) => {
      wire.fail("DynamoDB UpdateItem", { code: "TransactionConflictException" }, 2);
      expect(await store.write([{ partition: "conflict", sort: "a", body: 1, expect: 0 }])).toBe(true);
      wire.fail("DynamoDB UpdateItem", { code: "TransactionConflictException" }, 1000);
      const write = store.write([{ partition: "conflict", sort: "a", body: 1, expect: 1 }]);
      await expect(write).rejects.toThrow(StoreUnavailableError);
      expect(operations().length).toBeLessThan(30);
    }));

  test.each([
    ["throttled", { code: "ThrottlingException" }],
    ["over its throughput", { code: "ProvisionedThroughputExceededException" }],
    ["broken", { code: "InternalServerError", status: 500 }],
    ["out of reach", "lose"],
  ] as const)("a store that is %s is unavailable, and its error repeats nothing", (_, fault) =>
    using(async (store) => {
      for (const operation of ["UpdateItem", "GetItem", "Query", "TransactWriteItems"]) {
        wire.fail(`DynamoDB ${operation}`, fault, 1000);
      }
      const key = { partition: "secret-partition", sort: "a" };
      const writes = [
        { ...key, body: 1 },
        { ...key, sort: "b", body: 1 },
      ];
      for (const call of [
        () => store.write(writes.slice(1)),
        () => store.write(writes),
        () => store.get(key),
        () => store.query(key.partition),
      ]) {
        const error = await call().then(
          () => undefined,
          (reason: unknown) => reason as Error,
        );
        expect(error).toBeInstanceOf(StoreUnavailableError);
        expect(`${error?.stack} ${(error?.cause as Error).stack}`).not.toContain("secret-partition");
      }
    }));

  test("a table that does not exist makes the store unavailable", async () => {
    const store = dynamodbStore({ table: "nowhere", ...clientOf(wire.url) });
    await expect(store.get({ partition: "p", sort: "a" })).rejects.toThrow(StoreUnavailableError);
    await store.close();
  });
});

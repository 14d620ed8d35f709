import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { dynamodbStore } from "../../../services/intake/store/dynamodb.ts";
import { sqliteStore } from "../../../services/intake/store/sqlite.ts";
import type { Store } from "../../../services/intake/store/store.ts";
import { withGrantLease } from "../../../services/intake/tokens/lease.ts";
import { clientOf } from "../../harness/aws/cell.ts";
import { describeOnAws } from "../../harness/aws/describe.ts";
import { type MotoServer, startMoto } from "../../harness/aws/moto.ts";
import { makeStoreTable } from "../../harness/aws/store-table.ts";
import { startWire, type Wire } from "../../harness/aws/wire.ts";

const log = pino({ level: "silent" });
const LEASE = { partition: "org/a/grant-leases", sort: "crm" };

/** What holds for the lease on any store. `open` opens it once more, as another intake does. */
function leaseContract(open: (now: () => number) => Promise<Store>): void {
  test("is held by one at a time, whichever intake they are in", async () => {
    const stores = [await open(Date.now), await open(Date.now)];
    let [inside, most, total] = [0, 0, 0];
    const works = Array.from({ length: 12 }, (_, index) =>
      withGrantLease({ store: stores[index % 2] as Store, now: Date.now, log }, "a", "crm", async () => {
        most = Math.max(most, ++inside);
        await new Promise((resolve) => setTimeout(resolve, 5));
        inside--;
        total++;
      }),
    );
    await Promise.all(works);
    expect([most, total]).toEqual([1, 12]);
    expect(await stores[0]?.get(LEASE)).toBeUndefined();
    await Promise.all(stores.map((store) => store.close()));
  });

  test("is released if its work fails; is another's once it has expired, and is not released then", async () => {
    let time = Date.now();
    const now = () => time;
    const store = await open(now);
    const parts = { store, now, log };
    await expect(
      withGrantLease(parts, "a", "crm", () => Promise.reject(new Error("failed"))),
    ).rejects.toThrow("failed");
    expect(await store.get(LEASE)).toBeUndefined();
    const over = Promise.withResolvers<void>();
    let later: Promise<void> | undefined;
    await withGrantLease(parts, "a", "crm", async () => {
      time += 61_000;
      const taken = Promise.withResolvers<void>();
      later = withGrantLease(parts, "a", "crm", async () => {
        taken.resolve();
        await over.promise;
      });
      await taken.promise;
    });
    expect(await store.get(LEASE)).toBeDefined();
    over.resolve();
    await later;
    expect(await store.get(LEASE)).toBeUndefined();
    await store.close();
  });
}

describe("the lease of a grant, on SQLite", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "strongroom-lease-"));
  });
  afterAll(() => rm(folder, { recursive: true }));
  leaseContract((now) => sqliteStore(join(folder, "store.sqlite"), { now }));
});

describeOnAws("the lease of a grant, on DynamoDB", () => {
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
  leaseContract(async (now) => dynamodbStore({ table: "credentials", ...clientOf(wire.url), now }));
});

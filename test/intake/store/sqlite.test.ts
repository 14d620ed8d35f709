import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { sqliteStore } from "../../../services/intake/store/sqlite.ts";
import { StoreUnavailableError } from "../../../services/intake/store/store.ts";
import { test } from "../../harness/folder.ts";
import { storeContract } from "./contract.ts";

describe("the contract", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "strongroom-test-"));
  });
  afterAll(() => rm(folder, { recursive: true }));
  storeContract((options) => sqliteStore(join(folder, "store.sqlite"), options), { runs: 20, length: 60 });
});

const MARKER = `marker-${"m".repeat(40)}-`;

/** How often the marker is in any file of the folder. */
async function occurrences(folder: string): Promise<number> {
  let count = 0;
  for (const file of await readdir(folder)) {
    count += (await readFile(join(folder, file), "latin1")).split(MARKER).length - 1;
  }
  return count;
}

test("files are for their owner alone, and so is the folder", async ({ folder }) => {
  const inside = join(folder, "inside");
  const store = await sqliteStore(join(inside, "store.sqlite"));
  await store.write([{ partition: "p", sort: "a", body: 1 }]);
  const files = await readdir(inside);
  expect(files.sort()).toEqual(["store.sqlite", "store.sqlite-shm", "store.sqlite-wal"]);
  for (const file of files) expect((await stat(join(inside, file))).mode & 0o777).toBe(0o600);
  expect((await stat(inside)).mode & 0o777).toBe(0o700);
  await store.close();
});

test("nothing of a deleted or overwritten item remains in the file or its log", async ({ folder }) => {
  const file = join(folder, "store.sqlite");
  const store = await sqliteStore(file);
  const reader = await sqliteStore(file);
  try {
    // Short ones, one on overflow pages, one that a longer and one that a shorter body replaces.
    const bodies = [MARKER, MARKER.repeat(2000), MARKER, MARKER.repeat(50)];
    for (const [index, body] of bodies.entries()) {
      await store.write([{ partition: "p", sort: String(index), body }]);
    }
    expect(await reader.query("p")).toHaveLength(4);
    expect(await occurrences(folder)).toBeGreaterThan(2000);
    await store.write([
      { partition: "p", sort: "0", remove: true },
      { partition: "p", sort: "1", remove: true },
      { partition: "p", sort: "2", body: "n".repeat(1000) },
      { partition: "p", sort: "3", body: "n" },
    ]);
    await expect.poll(() => occurrences(folder), { timeout: 10_000 }).toBe(0);
    expect(await reader.query("p")).toHaveLength(2);
  } finally {
    await store.close();
    await reader.close();
  }
});

test("expired items are deleted", async ({ folder }) => {
  let time = 1_800_000_000_000;
  const store = await sqliteStore(join(folder, "store.sqlite"), { now: () => time, sweepMs: 20 });
  try {
    const expiresAt = time / 1000 + 10;
    await store.write([{ partition: "p", sort: "a", body: MARKER, expiresAt }]);
    time += 60_000;
    await expect.poll(() => occurrences(folder), { timeout: 10_000 }).toBe(0);
  } finally {
    await store.close();
  }
});

test("a file that is no database, or cannot be opened, makes the store unavailable", async ({ folder }) => {
  await expect(sqliteStore(folder)).rejects.toThrow(StoreUnavailableError);
  const file = join(folder, "text");
  await writeFile(file, "no database".repeat(1000));
  await expect(sqliteStore(file)).rejects.toThrow(StoreUnavailableError);
  await expect(sqliteStore(join(file, "store.sqlite"))).rejects.toThrow(StoreUnavailableError);
  expect(await readFile(file, "utf8")).toBe("no database".repeat(1000));
});

test("a closed store refuses writes", async ({ folder }) => {
  const store = await sqliteStore(join(folder, "store.sqlite"));
  await store.close();
  await expect(store.write([{ partition: "p", sort: "a", body: 1 }])).rejects.toThrow(StoreUnavailableError);
});

test("kill -9 in the middle of writes leaves every write whole, and each that was answered", async ({
  folder,
}) => {
  const file = join(folder, "store.sqlite");
  const writer = fileURLToPath(new URL("writer.ts", import.meta.url));
  let answered = 0;
  for (let round = 0; round < 8; round++) {
    const child = spawn(process.execPath, [writer, file], { env: {}, stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
    const closed = once(child, "close");
    await once(child.stdout, "data");
    await sleep(Math.random() * 200);
    child.kill("SIGKILL");
    await closed;
    // The last line may be cut off.
    const before = answered;
    answered = Number(text.split("\n").at(-2));
    expect(answered).toBeGreaterThan(before);

    const store = await sqliteStore(file);
    const a = await store.get<number>({ partition: "p", sort: "a" });
    const b = await store.get<{ number: number }>({ partition: "q", sort: "b" });
    await store.close();
    expect(a?.body).toBeGreaterThanOrEqual(answered);
    expect([b?.body.number, a?.revision, b?.revision]).toEqual([a?.body, a?.body, a?.body]);
  }
});

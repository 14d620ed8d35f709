import { sqliteStore } from "../../../services/intake/store/sqlite.ts";

// A process that writes pairs to a store for as long as it lives: `writer.ts FILE`. It writes the number of each pair
// to standard output once the store has it.
const [file = ""] = process.argv.slice(2);
const store = await sqliteStore(file);
const last = await store.get<number>({ partition: "p", sort: "a" });
for (let number = (last?.body ?? 0) + 1; ; number++) {
  const isWritten = await store.write([
    { partition: "p", sort: "a", body: number },
    { partition: "q", sort: "b", body: { number, more: "x".repeat(20_000) } },
  ]);
  if (!isWritten) throw new Error("not written");
  process.stdout.write(`${number}\n`);
}

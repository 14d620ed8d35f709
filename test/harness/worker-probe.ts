/*
 * Loaded into a worker by `--import`, to look around as code would that has taken it over. At SIGUSR2 it tries to read,
 * write and start what a worker must not, and writes what it could do, by name, as a JSON line to stdout. With
 * PROBE_HEAP set it writes what the worker still remembers into that file instead.
 */
import { spawnSync } from "node:child_process";
import { createWriteStream, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { DatabaseSync } from "node:sqlite";
import { getHeapSnapshot } from "node:v8";
import { Worker } from "node:worker_threads";

/** Read before the worker clears its environment. */
const { PROBE_STORE = "", PROBE_FOLDER = "", PROBE_HEAP } = process.env;

const ATTEMPTS: Record<string, () => unknown> = {
  "read the store": () => readFileSync(PROBE_STORE),
  "open the store": () => new DatabaseSync(PROBE_STORE, { readOnly: true }).prepare("SELECT 1").get(),
  "attach the store": () =>
    new DatabaseSync(":memory:").exec(
      `ATTACH DATABASE 'file:${PROBE_STORE}?mode=ro' AS store; SELECT * FROM store.secret`,
    ),
  "list the state folder": () => readdirSync(PROBE_FOLDER),
  "write beside its queues": () => writeFileSync(`${PROBE_FOLDER}/left-behind`, "x"),
  "read its own environment's copy": () => readFileSync("/proc/self/environ"),
  "read the password file": () => readFileSync("/etc/passwd"),
  "start a process": () => {
    const { error } = spawnSync("/bin/true");
    if (error) throw error;
  },
  "start a thread": () => new Worker("0", { eval: true }),
  "evaluate text": () => new Function("return 1")(),
  "load native code": () => createRequire(import.meta.url)(`${PROBE_FOLDER}/addon.node`),
  "find a setting": () => {
    if (Object.keys(process.env).length === 0) throw new Error("empty");
  },
};

process.on("SIGUSR2", () => {
  if (PROBE_HEAP !== undefined) {
    // The first collection ends what the second one may then collect.
    getHeapSnapshot()
      .resume()
      .once("end", () => {
        getHeapSnapshot()
          .pipe(createWriteStream(PROBE_HEAP, { mode: 0o600 }))
          .once("finish", () => process.stdout.write(`${JSON.stringify({ heap: PROBE_HEAP })}\n`));
      });
    return;
  }
  const done = Object.entries(ATTEMPTS).flatMap(([name, attempt]) => {
    try {
      attempt();
      return [name];
    } catch {
      return [];
    }
  });
  process.stdout.write(`${JSON.stringify({ probed: Object.keys(ATTEMPTS), done })}\n`);
});

import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { open as openInspector } from "node:inspector";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Worker } from "node:worker_threads";

/*
 * Hostile code in a worker's place: a program that is started as a worker is, with the same flags, files and settings. It
 * tries what a worker may never do on its machine, and writes what came of each way.
 */

const {
  STRONGROOM_KIND: kind = "",
  HOSTILE_FOLDER: folder = "",
  HOSTILE_PIDS: pids = "",
  STRONGROOM_QUEUES: queues = "",
} = process.env;
const others = ["integration", "webhook", "feed", "broker"].filter((each) => each !== kind);
const at = (...parts: string[]) => join(folder, ...parts);
const own = queues.replace("local:", "");
const store = at("intake", "store.sqlite");

const ways: Record<string, () => unknown> = {
  "read the store": () => readFileSync(store),
  "read the store's log": () => readFileSync(`${store}-wal`),
  "read the store by a way around": () => readFileSync(`${own}/../../intake/store.sqlite`),
  "list the intake's folder": () => readdirSync(at("intake")),
  "see that there is a store": () => existsSync(store) || refuse(),
  "read the key of the intake's certificate": () => readFileSync(at("intake", "broker-client-key.pem")),
  "read the intake's secret id": () => readFileSync(at("intake", "secret-id")),
  "change the intake's copy of the directory": () => writeFileSync(at("intake", "directory.jws"), ""),
  "read the logs": () => readFileSync(at("logs", "intake.log")),
  ...Object.fromEntries(
    others.flatMap((other) => [
      [`read jobs of ${other}`, () => readFileSync(at("queues", other, "jobs.sqlite"))],
      [`write to the results of ${other}`, () => appendFileSync(at("queues", other, "results.sqlite"), "a")],
      [`read the login of ${other}`, () => readFileSync(at(`worker-${other}`, "secret-id"))],
    ]),
  ),
  "read the environment of the intake": () => readFileSync(`/proc/${pids.split(",")[0]}/environ`),
  "read the memory of the intake": () => readFileSync(`/proc/${pids.split(",")[0]}/mem`),
  "read its own environment": () => readFileSync("/proc/self/environ"),
  "read its own descriptors": () => readFileSync("/proc/self/fd/1"),
  "read the machine's users": () => readFileSync("/etc/passwd"),
  "write beside its queues": () => writeFileSync(at("queues", "mine"), "a"),
  "write into the temporary folder": () => writeFileSync("/tmp/strongroom-hostile-worker", "a"),
  "change its own code": () => appendFileSync(new URL(import.meta.url), ""),
  "change its settings": () => writeFileSync(at("worker-integration", "role-id"), "a"),
  "link from its queues to the store": () => symlinkSync(store, join(own, "link")),
  "open the store's descriptor": () => openSync(store, "r+"),
  "start a program": () => execFileSync("/bin/sh", ["-c", "id"]),
  "start a thread": () => new Worker("1", { eval: true }),
  "open a debugger": () => openInspector(0),
  "load native code": () => process.dlopen({ exports: {} }, "/usr/lib/x.node"),
  "compile text to code": () => new Function("return 1")(),
  "use an internal binding": () => (process as unknown as { binding(name: string): object }).binding("fs"),
  "write a report": () => process.report?.writeReport(at("logs", "report.json")),
  "write a heap snapshot elsewhere": () =>
    process.getBuiltinModule("node:v8").writeHeapSnapshot(at("logs", "heap")),
};

/** Not covered by Node's permission model: on one machine, where all services are one user, this remains possible. */
const uncovered: Record<string, () => unknown> = {
  "open the store by node:sqlite": () => rowsOf(store, "items"),
  ...Object.fromEntries(
    others.map((other) => [
      `open jobs of ${other} by node:sqlite`,
      () => rowsOf(at("queues", other, "jobs.sqlite"), "messages"),
    ]),
  ),
};

function rowsOf(file: string, table: string): unknown {
  const database = new DatabaseSync(file, { readOnly: true });
  return database.prepare(`SELECT count(*) AS rows FROM ${table}`).get();
}

function refuse(): never {
  throw Object.assign(new Error("not there"), { code: "ERR_ACCESS_DENIED" });
}

const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);
say({ msg: "started" });
for (const [set, all] of Object.entries({ ways, uncovered })) {
  for (const [way, attempt] of Object.entries(all)) {
    try {
      attempt();
      say({ msg: "attempt", set, way, came: "succeeded" });
    } catch (error) {
      say({ msg: "attempt", set, way, came: (error as NodeJS.ErrnoException).code ?? (error as Error).name });
    }
  }
}
say({ msg: "ended" });

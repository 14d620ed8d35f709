import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  endProcess,
  isSame,
  type ProcessRecord,
  processIdentity,
  readProcessRecord,
  recordProcess,
} from "../../../services/shared/process/recorded-process.ts";
import { isAlive, type Programs, processesWith, programs, until } from "./programs.ts";

let own: Programs;
beforeEach(async () => {
  own = await programs();
});
afterEach(() => own.remove());

const IDLE = "setInterval(() => {}, 1000)";
const STUBBORN = `process.on("SIGTERM", () => {}); require("node:fs").writeFileSync(__filename + ".ready", ""); ${IDLE}`;

const pidOf = (child: ChildProcess): number => {
  if (child.pid === undefined) throw new Error("not started");
  return child.pid;
};

async function start(name: string, source = IDLE) {
  const marker = await own.script(name, source);
  const child = own.run(marker);
  const record = recordProcess(join(own.folder, `${name}.process.json`), pidOf(child), marker);
  if (!record) throw new Error("ended at once");
  return { child, record, marker };
}

test("a process is described by pid, start time and command line, the same each time", async () => {
  const { child, marker } = await start("idle.cjs");
  const first = await processIdentity(pidOf(child));
  expect(first).toEqual({
    pid: child.pid,
    startTime: expect.stringMatching(/.+/),
    command: `${process.execPath} ${marker}`,
  });
  expect(await processIdentity(pidOf(child))).toEqual(first);
});

test("no process, an ended one and one nobody reaped are all undefined", async () => {
  const { child } = await start("idle.cjs");
  child.kill("SIGKILL");
  await once(child, "exit");
  expect(await processIdentity(pidOf(child))).toBeUndefined();

  const script = await own.script("thread.cjs", "setTimeout(() => {}, 200)");
  for (const command of ["sleep 0.2", `${process.execPath} ${script}`]) {
    const parent = spawn("/bin/sh", ["-c", `${command} & echo $!; exec sleep 30`], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    try {
      const [output] = (await once(parent.stdout, "data")) as [Buffer];
      const zombie = Number(output.toString());
      expect(await processIdentity(zombie)).toBeDefined();
      await until(async () => (await processIdentity(zombie)) === undefined);
      process.kill(zombie, 0);
    } finally {
      const exit = once(parent, "exit");
      parent.kill("SIGKILL");
      await exit;
    }
  }
});

test("a process that is ending counts as living until it holds nothing any more", async () => {
  const large = `globalThis.held = Buffer.alloc(200e6, 1); require("node:fs").writeFileSync(__filename + ".ready", ""); ${IDLE}`;
  for (let round = 0; round < 10; round++) {
    const { child, record, marker } = await start(`large-${round}.cjs`, large);
    await until(() => stat(`${marker}.ready`).catch(() => undefined));
    const exit = once(child, "exit");
    child.kill("SIGKILL");
    while (await isSame(record, marker));
    expect(isAlive(record.pid)).toBe(false);
    await exit;
  }
});

test("the record is on disk, for the owner alone, as soon as it is made; a damaged one is none", async () => {
  const { record } = await start("idle.cjs");
  const path = join(own.folder, "idle.cjs.process.json");
  expect(await readProcessRecord(path)).toEqual(record);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  await writeFile(path, `{"pid": ${record.pid}`);
  expect(await readProcessRecord(path)).toBeUndefined();
  await writeFile(path, JSON.stringify({ ...record, pid: 1 }));
  expect(await readProcessRecord(path)).toBeUndefined();
});

test("a process is the same only if pid, start time and the whole marker agree", async () => {
  const { record, marker } = await start("idle.cjs");
  expect(await isSame(record, marker)).toBe(true);
  expect(await isSame({ ...record, startTime: `${record.startTime}0` }, marker)).toBe(false);
  expect(await isSame(record, marker.slice(0, -1))).toBe(false);
  expect(await isSame(record, marker.slice(1))).toBe(false);
  expect(await isSame(record, join(own.folder, "other.cjs"))).toBe(false);
  expect(await isSame({ ...record, pid: process.pid }, marker)).toBe(false);
});

test("the marker may be the value of an option", async () => {
  const marker = join(own.folder, "a folder", "vault.json");
  const child = spawn(process.execPath, ["-e", IDLE, "--", `-config=${marker}`], { stdio: "ignore" });
  try {
    const record = recordProcess(join(own.folder, "r.json"), pidOf(child), marker);
    expect(record && (await isSame(record, marker))).toBe(true);
  } finally {
    const exit = once(child, "exit");
    child.kill("SIGKILL");
    await exit;
  }
});

test("ending asks first", async () => {
  const { child, record } = await start("idle.cjs");
  const exit = once(child, "exit");
  await endProcess(record, { graceMs: 5_000 });
  expect(await exit).toEqual([null, "SIGTERM"]);
});

test("what does not listen is killed after the grace", async () => {
  const { child, record, marker } = await start("stubborn.cjs", STUBBORN);
  await until(() => stat(`${marker}.ready`).catch(() => undefined));
  const exit = once(child, "exit");
  const begun = performance.now();
  await endProcess(record, { graceMs: 200 });
  expect(await exit).toEqual([null, "SIGKILL"]);
  expect(performance.now() - begun).toBeGreaterThan(200);
});

test("a stranger that has the recorded pid gets no signal", async () => {
  const { record } = await start("ours.cjs");
  const stranger = own.run(await own.script("stranger.cjs", IDLE));
  const strangers = await processIdentity(pidOf(stranger));
  const records: ProcessRecord[] = [
    { ...record, pid: pidOf(stranger) },
    { ...record, pid: pidOf(stranger), startTime: strangers?.startTime ?? "" },
  ];
  for (const each of records) await endProcess(each, { graceMs: 100 });
  expect(isAlive(pidOf(stranger))).toBe(true);
  expect(isAlive(record.pid)).toBe(true);
  expect(processesWith(own.folder)).toHaveLength(2);
});

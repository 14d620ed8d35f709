import { readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Part } from "./part.ts";

const SNAPSHOT_MS = 60_000;

/** Flags of Node with which a process writes a snapshot of its heap into the folder at SIGUSR2, with whole strings. */
export const snapshotFlags = (folder: string): string[] => [
  "--heapsnapshot-signal=SIGUSR2",
  `--diagnostic-dir=${folder}`,
  "--heap-snapshot-string-limit=100000000",
];

/**
 * A snapshot of a process that was started with {@link snapshotFlags}: all that is reachable, since V8 collects the rest
 * first. The file is deleted.
 */
export async function heapSnapshot(part: Part, folder: string): Promise<Buffer> {
  const before = new Set(await readdir(folder));
  part.signal("SIGUSR2");
  for (const until = Date.now() + SNAPSHOT_MS; part.isRunning && Date.now() < until; await sleep(200)) {
    const name = (await readdir(folder)).find((each) => !before.has(each) && each.endsWith(".heapsnapshot"));
    const file = name && join(folder, name);
    if (!file || !(await isComplete(file))) continue;
    const content = await readFile(file);
    await rm(file);
    return content;
  }
  throw new Error(`${part.name} wrote no heap snapshot:\n${(await part.log()).slice(-1_000)}`);
}

/** A snapshot ends with its list of strings. */
async function isComplete(file: string): Promise<boolean> {
  const { size } = await stat(file);
  await sleep(100);
  if (size === 0 || (await stat(file)).size !== size) return false;
  return (await readFile(file)).subarray(-10).toString().trimEnd().endsWith("]}");
}

import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** A temporary folder of programs (Node scripts), and what tests look for around processes. */
export interface Programs {
  folder: string;
  /** Writes a script and returns its path, which then stands on its command line. */
  script(name: string, source: string): Promise<string>;
  /** Starts a script as a process that no supervisor knows. */
  run(path: string): ChildProcess;
  /** Ends what {@link run} started, and removes the folder; fails where anything else is left over. */
  remove(): Promise<void>;
}

export async function programs(): Promise<Programs> {
  const folder = await mkdtemp(join(tmpdir(), "strongroom-process-"));
  const started: ChildProcess[] = [];
  return {
    folder,
    async script(name, source) {
      const path = join(folder, name);
      await writeFile(path, source);
      await chmod(path, 0o700);
      return path;
    },
    run(path) {
      const child = spawn(process.execPath, [path], { stdio: "ignore" });
      started.push(child);
      return child;
    },
    async remove() {
      for (const child of started) child.kill("SIGKILL");
      await until(() => started.every((child) => child.exitCode !== null || child.signalCode !== null));
      const left = processesWith(folder);
      for (const pid of left) process.kill(pid, "SIGKILL");
      await until(() => processesWith(folder).length === 0);
      await rm(folder, { recursive: true });
      if (left.length > 0) throw new Error(`${left.length} processes were left behind`);
    },
  };
}

/** Pids of the living processes on whose command line the text stands. */
export function processesWith(text: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(text);
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** Waits until the check gives something; fails after `timeoutMs`. */
export async function until<T>(check: () => T | Promise<T>, timeoutMs = 10_000): Promise<NonNullable<T>> {
  for (const end = performance.now() + timeoutMs; ; await sleep(10)) {
    const value = await check();
    if (value) return value;
    if (performance.now() > end) throw new Error(`still not so after ${timeoutMs} ms: ${check}`);
  }
}

export function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

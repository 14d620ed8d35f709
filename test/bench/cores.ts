import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { cpus } from "node:os";
import { promisify } from "node:util";

const TASKSET = cpus().length > 1 ? ["/usr/bin/taskset", "/bin/taskset"].find(existsSync) : undefined;

/** Whether processes can be given a core each: on Linux with taskset and two of them. */
export const HAS_CORES = TASKSET !== undefined;

/** The command that runs another on one core, where one is given and that can be. */
export const onCore = (core: number | undefined, command: string, args: string[]): [string, string[]] =>
  TASKSET && core !== undefined ? [TASKSET, ["-c", String(core), command, ...args]] : [command, args];

/** Gives a process that runs, with all its threads, one core, where that can be. */
export async function pin(pid: number, core: number): Promise<void> {
  if (TASKSET) await promisify(execFile)(TASKSET, ["-a", "-p", "-c", String(core), String(pid)]);
}

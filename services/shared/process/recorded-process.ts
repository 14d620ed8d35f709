import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { readJson } from "../files.ts";
import { poll } from "../poll.ts";

/** A living process, distinguishable from any other that reuses its pid. */
export interface ProcessIdentity {
  pid: number;
  /** Its start time in the system's format; only compared. */
  startTime: string;
  /** Its command line, arguments separated by one space. */
  command: string;
}

/** A process that we started, recorded on disk for our successors. */
export const ProcessRecord = Type.Object(
  {
    pid: Type.Integer({ minimum: 2 }),
    startTime: Type.String({ minLength: 1 }),
    /** The path of a configuration file on its command line. */
    marker: Type.String({ minLength: 1 }),
    /** RFC 3339. */
    startedAt: Type.String(),
  },
  { additionalProperties: false },
);
export type ProcessRecord = Static<typeof ProcessRecord>;

/** The process that has this pid now; undefined if there is none, or only a zombie. */
export async function processIdentity(pid: number): Promise<ProcessIdentity | undefined> {
  return identify(pid);
}

/**
 * Whether the recorded process is still alive: its pid, start time, and the marker on its command line all match. A
 * process that reuses the pid has another start time.
 */
export async function isSame(
  record: Pick<ProcessRecord, "pid" | "startTime">,
  marker: string,
): Promise<boolean> {
  const now = identify(record.pid);
  if (now?.startTime !== record.startTime) return false;
  // Briefly at its start and its end a process has no command line, but has all its files open.
  return now.command === "" || hasArgument(now.command, marker);
}

/**
 * Records a process that this one just started. It is synchronous, to minimize the time in which the process is
 * unrecorded. Returns undefined if the process has ended already.
 */
export function recordProcess(path: string, pid: number, marker: string): ProcessRecord | undefined {
  const identity = identify(pid);
  if (!identity) return undefined;
  const record = { pid, startTime: identity.startTime, marker, startedAt: new Date().toISOString() };
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  writeFileSync(temporary, `${JSON.stringify(record)}\n`, { mode: 0o600, flag: "wx" });
  renameSync(temporary, path);
  return record;
}

/** Reads a record; undefined if there is none, or if the file is corrupt (then it identifies no process). */
export async function readProcessRecord(path: string): Promise<ProcessRecord | undefined> {
  const record = await readJson(path).catch(() => undefined);
  return Value.Check(ProcessRecord, record) ? record : undefined;
}

/**
 * Ends the recorded process and waits until it is gone: SIGTERM, then SIGKILL after `graceMs`. It is compared again
 * right before each signal, so that a process that reuses the pid gets none. Throws if it survives SIGKILL for 5 s.
 */
export async function endProcess(record: ProcessRecord, options: { graceMs: number }): Promise<void> {
  for (const [signal, waitMs] of [
    ["SIGTERM", options.graceMs],
    ["SIGKILL", 5_000],
  ] as const) {
    if (!(await signalProcess(record, signal))) return;
    if (await gone(record, waitMs)) return;
  }
  throw new Error(`process ${record.pid} survived SIGKILL`);
}

/** Sends a signal to the recorded process. Returns false, and sends nothing, if the process is gone. */
export async function signalProcess(record: ProcessRecord, signal: NodeJS.Signals): Promise<boolean> {
  if (!(await isSame(record, record.marker))) return false;
  try {
    process.kill(record.pid, signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}

/** Interval of polling a process that is not our child: reading `/proc` is cheap, `ps` is a process itself. */
export const POLL_MS = process.platform === "linux" ? 50 : 500;

/** Waits until the recorded process is gone. Returns false if it is still alive after `timeoutMs`. */
export async function gone(record: ProcessRecord, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
  const isGone = async () => {
    if (!(await isSame(record, record.marker))) return true;
    return signal?.aborted ? false : undefined;
  };
  return (await poll(isGone, { everyMs: POLL_MS, withinMs: timeoutMs })) === true;
}

function identify(pid: number): ProcessIdentity | undefined {
  return process.platform === "linux" ? fromProc(pid) : fromPs(pid);
}

let bootId: string | undefined;

function fromProc(pid: number): ProcessIdentity | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the program's name in parentheses and may itself contain spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [state, threads, ticks] = [fields[0], Number(fields[17]), fields[19]];
    // While other threads of a process are ending, its first thread may already be dead.
    if (!ticks || ((state === "Z" || state === "X") && threads <= 1)) return undefined;
    const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replace(/\0$/, "").replaceAll("\0", " ");
    // Ticks count from boot, so they only distinguish processes of one boot.
    bootId ??= readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    return { pid, startTime: `${bootId}/${ticks}`, command };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH") return undefined;
    throw error;
  }
}

function fromPs(pid: number): ProcessIdentity | undefined {
  let line: string;
  try {
    line = execFileSync("ps", ["-ww", "-o", "stat=,lstart=,command=", "-p", String(pid)], {
      encoding: "utf8",
      env: { PATH: "/bin:/usr/bin", LC_ALL: "C" },
      stdio: ["ignore", "pipe", "ignore"],
    });
  } catch {
    return undefined;
  }
  const [, state, startTime, command] = /^\s*(\S+)\s+(\S+\s+\S+\s+\S+\s+\S+\s+\d{4})\s+(.*)/.exec(line) ?? [];
  if (!startTime || !command || state?.startsWith("Z")) return undefined;
  return { pid, startTime, command: command.trim() };
}

/** Whether the path is on the command line as an argument (`PATH`) or as an option's value (`-o=PATH`). */
function hasArgument(command: string, path: string): boolean {
  for (let at = command.indexOf(path); at !== -1; at = command.indexOf(path, at + 1)) {
    const before = command[at - 1] ?? " ";
    const after = command[at + path.length] ?? " ";
    if ((before === " " || before === "=") && after === " ") return true;
  }
  return false;
}

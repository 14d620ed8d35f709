import { spawn } from "node:child_process";
import { once } from "node:events";
import { open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { makeFolder } from "../files.ts";
import { type RotationLimits, readTail, rotateByCopy, sizeOf } from "./log-files.ts";
import {
  endProcess,
  gone,
  type ProcessRecord,
  readProcessRecord,
  recordProcess,
  signalProcess,
} from "./recorded-process.ts";

/** One start of a program: absolute path, arguments, and its whole environment. */
export interface Launch {
  command: string;
  args: readonly string[];
  environment: Record<string, string>;
  /** Working directory. */
  folder: string;
}

/** The current state of a supervised program. */
export interface ChildState {
  /** `starting` until the process exists, `backoff` while waiting to restart it. */
  state: "starting" | "running" | "backoff" | "stopped";
  pid?: number;
  /** RFC 3339. */
  startedAt?: string;
  /** Number of starts by this supervisor; taking over a running process does not count. */
  starts: number;
  /** Exit code of its last run; null if a signal ended it, or if it is unknown. */
  exitCode?: number | null;
  /** The reason why its last run ended or could not start. */
  reason?: string;
}

export interface SupervisorOptions {
  /** Called before each start, so that each start uses current settings. An error counts as a failed start. */
  prepare(): Promise<Launch>;
  /** A path on the program's command line that identifies it. */
  marker: string;
  /** File in which the process is recorded, so that the next supervisor can take it over. */
  recordFile: string;
  /** File for the program's stdout and stderr. */
  logFile: string;
  logLimits?: RotationLimits;
  /** Time between SIGTERM and SIGKILL, in ms. */
  graceMs: number;
  /** Status 0 is a planned end, as of a program that ends itself after so many jobs: it starts again at once. */
  endsItself?: boolean;
  /** Extracts the reason from the last run's log output (default: its last line). */
  explain?(log: string): string | undefined;
  onChange(state: ChildState): void;
  /** The backoff starts at `firstMs` and doubles up to `maxMs`; a run of at least `steadyMs` resets it. */
  backoff?: { firstMs: number; maxMs: number; steadyMs: number };
  /** Random number from 0 to 1 for the backoff's jitter. */
  random?: () => number;
}

const LOG_LIMITS: RotationLimits = { bytes: 10 * 1024 * 1024, keep: 3 };
const LOG_CHECK_MS = 2_000;
const BACKOFF = { firstMs: 100, maxMs: 30_000, steadyMs: 10_000 };
const PLANNED_RUN_MS = 200;

interface Exit {
  code: number | null;
  reason: string;
  ranMs: number;
}

/**
 * Keeps one program running. The program outlives its supervisor: it has its own session and writes directly to its
 * log file, and the next supervisor takes it over from its record.
 */
export class Supervisor {
  readonly #options: SupervisorOptions;
  #state: ChildState = { state: "stopped", starts: 0 };
  #wanted = false;
  /** Set by {@link restart}: an earlier preparation is outdated. */
  #again = false;
  #failures = 0;
  #process: ProcessRecord | undefined;
  #pause = new AbortController();
  #loop: Promise<void> = Promise.resolve();

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  get state(): ChildState {
    return this.#state;
  }

  /** Takes over the recorded process if it is alive, otherwise starts one, and keeps one running from then on. */
  start(): void {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#loop = this.#loop.then(() => this.#run());
  }

  /** Stops the process gracefully and restarts it at once. Resolves when the old process is gone. */
  async restart(): Promise<void> {
    this.#again = true;
    this.#pause.abort();
    if (this.#process) await endProcess(this.#process, this.#options);
  }

  /** Stops the process gracefully, and resolves when it is gone. */
  async stop(): Promise<void> {
    this.#wanted = false;
    this.#pause.abort();
    if (this.#process) await endProcess(this.#process, this.#options);
    await this.#loop;
  }

  /** Sends the process a signal. Returns false if none runs. */
  async signal(signal: NodeJS.Signals): Promise<boolean> {
    return this.#process ? signalProcess(this.#process, signal) : false;
  }

  async #run(): Promise<void> {
    const rotation = setInterval(() => {
      rotateByCopy(this.#options.logFile, this.#options.logLimits ?? LOG_LIMITS).catch(() => {});
    }, LOG_CHECK_MS);
    this.#failures = 0;
    while (this.#wanted) {
      const exit = await this.#runOnce().catch(
        (error: Error): Exit => ({ code: null, reason: error.message, ranMs: 0 }),
      );
      if (exit && this.#wanted && !this.#again && !this.#isPlanned(exit)) await this.#backOff(exit);
      if (this.#again) this.#failures = 0;
    }
    clearInterval(rotation);
    this.#change({ state: "stopped" });
  }

  /** One run of the program, started here or taken over; undefined if it was cancelled before its start. */
  async #runOnce(): Promise<Exit | undefined> {
    const adopted = await this.#adopt();
    const logSize = adopted ? 0 : await sizeOf(this.#options.logFile);
    const run = adopted
      ? { startedMs: Date.parse(adopted.startedAt), exit: ended(adopted) }
      : await this.#spawn();
    if (!run) return undefined;
    const [code, signal] = await run.exit;
    this.#process = undefined;
    await rm(this.#options.recordFile, { force: true });
    const log = await readTail(this.#options.logFile, logSize);
    const reason = signal
      ? `ended by ${signal}`
      : `${code === null ? "ended" : `exited with ${code}`}: ${this.#explain(log)}`;
    return { code, reason, ranMs: Date.now() - run.startedMs };
  }

  async #adopt(): Promise<ProcessRecord | undefined> {
    const { recordFile, marker } = this.#options;
    const record = await readProcessRecord(recordFile);
    if (!record || (await gone(record, 0))) return undefined;
    if (record.marker !== marker) {
      // Our process, but recorded in a folder that has been moved since.
      await endProcess(record, this.#options);
      return undefined;
    }
    if (!this.#wanted || this.#again) {
      await endProcess(record, this.#options);
      return undefined;
    }
    this.#process = record;
    this.#change({ state: "running", pid: record.pid, startedAt: record.startedAt });
    return record;
  }

  async #spawn() {
    const { marker, recordFile, logFile } = this.#options;
    if (!this.#wanted) return undefined;
    this.#change({ state: "starting" });
    this.#again = false;
    const launch = await this.#options.prepare();
    await makeFolder(dirname(logFile));
    const log = await open(logFile, "a", 0o600);
    try {
      if (!this.#wanted || this.#again) return undefined;
      const child = spawn(launch.command, launch.args, {
        cwd: launch.folder,
        env: launch.environment,
        detached: true,
        stdio: ["ignore", log.fd, log.fd],
      });
      const exit = once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]>;
      if (child.pid === undefined) await exit;
      else {
        try {
          this.#process = recordProcess(recordFile, child.pid, marker);
        } catch (error) {
          child.kill("SIGKILL");
          throw error;
        }
      }
      const startedAt = this.#process?.startedAt ?? new Date().toISOString();
      const { starts } = this.#state;
      this.#change({ state: "running", ...(child.pid && { pid: child.pid }), startedAt, starts: starts + 1 });
      return { startedMs: Date.parse(startedAt), exit };
    } finally {
      await log.close();
    }
  }

  /** Whether it ended as planned. One that hardly ran did not, so that no loop of starts is without a pause. */
  #isPlanned({ code, ranMs }: Exit): boolean {
    return this.#options.endsItself === true && code === 0 && ranMs >= PLANNED_RUN_MS;
  }

  async #backOff(exit: Exit): Promise<void> {
    const { firstMs, maxMs, steadyMs } = this.#options.backoff ?? BACKOFF;
    if (exit.ranMs >= steadyMs) this.#failures = 0;
    const delay = Math.min(maxMs, firstMs * 2 ** this.#failures);
    const jitter = 0.5 + (this.#options.random ?? Math.random)() / 2;
    this.#failures++;
    this.#pause = new AbortController();
    this.#change({ state: "backoff", exitCode: exit.code, reason: exit.reason });
    await sleep(delay * jitter, undefined, { signal: this.#pause.signal }).catch(() => {});
  }

  #explain(log: string): string {
    const lastLine = log.trimEnd().split("\n").at(-1);
    return (this.#options.explain ? this.#options.explain(log) : lastLine) || "no reason logged";
  }

  /** The end of the last run stays in the state until the next run ends. */
  #change(change: Omit<ChildState, "starts"> & { starts?: number }): void {
    const { starts, exitCode, reason } = this.#state;
    this.#state = {
      starts,
      ...(exitCode !== undefined && { exitCode }),
      ...(reason !== undefined && { reason }),
      ...change,
    };
    this.#options.onChange(this.#state);
  }
}

/** The end of a process that is not our child, whose exit code is unknown. */
async function ended(record: ProcessRecord): Promise<[null, null]> {
  await gone(record, Number.POSITIVE_INFINITY);
  return [null, null];
}

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, createReadStream, openSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { residentMemory } from "./resident-memory.ts";

const START_MS = 30_000;

/** How a part's process is started. */
export interface Command {
  /** Node's flags, the program, its arguments. */
  args: string[];
  env: Record<string, string>;
}

export interface PartOptions {
  name: string;
  folder: string;
  logFile: string;
  command: Command;
  /** The `msg` of the log line by which it is ready. */
  readyLine: string;
}

/** A service of the platform as a process of its own, that can be killed and started again. */
export class Part {
  readonly name: string;
  /** Its working directory, with its login and settings. */
  readonly folder: string;
  /** All that it writes to stdout and stderr, over all of its starts. */
  readonly logFile: string;
  /** How the next start is done; a test may change it. */
  command: Command;
  /** The status or the signal that ended it last. */
  endedWith: number | NodeJS.Signals | undefined;
  readonly #readyLine: string;
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();

  constructor({ name, folder, logFile, command, readyLine }: PartOptions) {
    this.name = name;
    this.folder = folder;
    this.logFile = logFile;
    this.command = command;
    this.#readyLine = readyLine;
  }

  /** The process that runs now, or the last one. Throws if it was never started. */
  get pid(): number {
    if (!this.#child?.pid) throw new Error(`${this.name} was never started`);
    return this.#child.pid;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves when the process has ended. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /** Starts it and waits until it is ready. Throws with its log if it ends before. */
  async start(): Promise<void> {
    const from = await stat(this.logFile).then(
      ({ size }) => size,
      () => 0,
    );
    this.launch();
    for (const until = Date.now() + START_MS; !(await this.#isReady(from)); await sleep(50)) {
      if (!this.isRunning || Date.now() > until) {
        throw new Error(`${this.name} did not become ready:\n${await this.log()}`);
      }
    }
  }

  /** Starts it and does not wait. */
  launch(): void {
    if (this.isRunning) throw new Error(`${this.name} is running`);
    const output = openSync(this.logFile, "a", 0o600);
    const { args, env } = this.command;
    const child = spawn(process.execPath, args, { env, cwd: this.folder, stdio: ["ignore", output, output] });
    closeSync(output);
    this.#child = child;
    this.#ended = once(child, "exit").then(([status, signal]) => {
      this.endedWith = (status ?? signal) as number | NodeJS.Signals;
    });
  }

  /** Ends the process, by `kill -9` unless told otherwise, and waits until it has ended. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (this.isRunning) this.#child?.kill(signal);
    await this.#ended;
  }

  /** Kills it and starts it again; waits until it is ready. */
  async restart(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    await this.kill(signal);
    await this.start();
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  log(): Promise<string> {
    return readFile(this.logFile, "utf8").catch(() => "");
  }

  /** Its log lines that are JSON. A line that a killed process began is none. */
  async lines(): Promise<Record<string, unknown>[]> {
    return (await this.log()).split("\n").flatMap((line) => {
      try {
        const value: unknown = JSON.parse(line);
        return typeof value === "object" && value !== null ? [value as Record<string, unknown>] : [];
      } catch {
        return [];
      }
    });
  }

  /** Resident memory in bytes. */
  rss(): Promise<number> {
    return residentMemory(this.pid);
  }

  /** Whether it has said so since its log had this length. */
  async #isReady(from: number): Promise<boolean> {
    const chunks: Buffer[] = await createReadStream(this.logFile, { start: from }).toArray();
    return Buffer.concat(chunks).includes(`"msg":"${this.#readyLine}`);
  }
}

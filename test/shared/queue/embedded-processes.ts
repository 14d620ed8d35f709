import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const CONSUMER = fileURLToPath(new URL("consumer.ts", import.meta.url));

/** A line of the consumers' log. `at` is in milliseconds since 1970. */
export interface Noted {
  at: number;
  pid: number;
  event: string;
  name: string;
}

/** Starts processes that consume a queue, and kills those that are left. */
export class Consumers {
  readonly #file: string;
  readonly #log: string;
  readonly #visibilitySeconds: number;
  readonly #running = new Set<ChildProcess>();

  constructor(file: string, visibilitySeconds: number) {
    this.#file = file;
    this.#log = `${file}.log`;
    this.#visibilitySeconds = visibilitySeconds;
  }

  start(nodeOptions: string[] = []): ChildProcess {
    const args = [...nodeOptions, CONSUMER, this.#file, this.#log, String(this.#visibilitySeconds)];
    const child = spawn(process.execPath, args, { env: {}, stdio: ["ignore", "ignore", "inherit"] });
    this.#running.add(child);
    return child;
  }

  /** Ends a process by SIGKILL, or all of them. */
  async kill(...children: ChildProcess[]): Promise<void> {
    for (const child of children.length > 0 ? children : this.#running) {
      const ended = child.exitCode === null && child.signalCode === null ? once(child, "exit") : undefined;
      child.kill("SIGKILL");
      await ended;
      this.#running.delete(child);
    }
  }

  async log(): Promise<Noted[]> {
    const text = await readFile(this.#log, "utf8").catch(() => "");
    const lines = text.split("\n").slice(0, -1);
    return lines.map((line) => {
      const [at, pid, event = "", name = ""] = line.split(" ");
      return { at: Number(at), pid: Number(pid), event, name };
    });
  }

  async named(event: string): Promise<string[]> {
    return (await this.log()).filter((each) => each.event === event).map(({ name }) => name);
  }
}

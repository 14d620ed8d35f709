import { spawn } from "node:child_process";
import { once } from "node:events";
import { openSync } from "node:fs";
import { chmod, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { ContainerDefinition } from "@aws-sdk/client-ecs";
import { makeFolder } from "../shared/files.ts";

export interface ContainerOptions {
  /** The container's own folder, its only private part of the file system. */
  folder: string;
  /** The output of `hostname -i` inside. */
  address: string;
  vaultBinary: string;
  environment: Record<string, string>;
}

/**
 * Runs the command in its own process group, which ends when the pipe at its standard input closes, because its owner
 * closed it or was killed. The command's pid goes to descriptor 3.
 */
const LEASH = `exec 4<&0
"$@" 3>&- 4<&- </dev/null &
job=$!
echo "$job" >&3
exec 3>&-
(read -r _ <&4; kill -KILL 0) >/dev/null 2>&1 &
exec 4<&-
wait "$job"`;

/**
 * A container without a container engine: its command as a process with its own folder, its own loopback address and
 * exactly its environment. Unlike on ECS, users, capabilities, limits and files outside the folder are not isolated.
 */
export class Container {
  readonly definition: ContainerDefinition;
  readonly #options: ContainerOptions;
  readonly #environment: Record<string, string>;
  #group: number | undefined;
  /** The command's pid; undefined before it runs and after it has ended. */
  pid: number | undefined;

  constructor(definition: ContainerDefinition, options: ContainerOptions) {
    this.definition = definition;
    this.#options = options;
    this.#environment = { PATH: `${join(options.folder, "bin")}:/usr/bin:/bin`, ...options.environment };
  }

  get log(): string {
    return join(this.#options.folder, "log");
  }

  /** Starts it; resolves to the promise of its exit code once it runs. */
  async start(): Promise<{ ended: Promise<number> }> {
    const { folder, address, vaultBinary } = this.#options;
    const { entryPoint = [], command = [] } = this.definition;
    const root = join(folder, "root");
    await makeFolder(root);
    await makeFolder(join(folder, "bin"));
    await symlink(vaultBinary, join(folder, "bin", "vault"));
    await writeFile(join(folder, "bin", "hostname"), `#!/bin/sh\necho ${address}\n`);
    await chmod(join(folder, "bin", "hostname"), 0o700);
    const log = openSync(this.log, "a", 0o600);
    const child = spawn("/bin/sh", ["-c", LEASH, "sh", ...entryPoint, ...command], {
      cwd: root,
      env: this.#environment,
      detached: true,
      stdio: ["pipe", log, log, "pipe"],
    });
    await once(child, "spawn");
    this.#group = child.pid;
    const ended = once(child, "exit").then(([code]) => {
      this.pid = undefined;
      // As in a container, processes that the command left behind end with it.
      this.#signalGroup("SIGKILL");
      this.#group = undefined;
      return (code as number | null) ?? 137;
    });
    const pid = Number(await text(child.stdio[3] as NodeJS.ReadableStream & NodeJS.ReadStream));
    if (this.#group !== undefined) this.pid = pid;
    return { ended };
  }

  /** Sends the command a signal. Returns false if it does not run. */
  signal(signal: NodeJS.Signals): boolean {
    if (this.pid === undefined) return false;
    process.kill(this.pid, signal);
    return true;
  }

  /** Kills everything in it at once. */
  kill(): void {
    this.#signalGroup("SIGKILL");
  }

  /** Runs its health check once. Returns the exit code, or 137 after the timeout. */
  async checkHealth(): Promise<number> {
    const [kind, ...command] = this.definition.healthCheck?.command ?? [];
    const argv = kind === "CMD-SHELL" ? ["/bin/sh", "-c", command[0] ?? ""] : command;
    const child = spawn(argv[0] ?? "", argv.slice(1), {
      cwd: join(this.#options.folder, "root"),
      env: this.#environment,
      stdio: "ignore",
      timeout: (this.definition.healthCheck?.timeout ?? 5) * 1000,
      killSignal: "SIGKILL",
    });
    const [code] = await once(child, "exit");
    return (code as number | null) ?? 137;
  }

  #signalGroup(signal: NodeJS.Signals): void {
    try {
      if (this.#group !== undefined) process.kill(-this.#group, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}

import { spawn } from "node:child_process";
import { once } from "node:events";
import { openSync } from "node:fs";
import { chmod, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { ContainerDefinition } from "@aws-sdk/client-ecs";
import { makeFolder } from "../shared/files.ts";

export interface ContainerOptions {
  /** The container's own folder: all of the file system that it has for itself. */
  folder: string;
  /** What `hostname -i` says inside. */
  address: string;
  vaultBinary: string;
  environment: Record<string, string>;
}

/**
 * Runs the command in its process group, on a leash: when the pipe that is its standard input closes, because
 * its owner closed it or was killed, the group ends. The command's pid goes to descriptor 3.
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
 * A container without a container engine: its command as a process, in a folder and on a loopback address of
 * its own, with exactly its environment. What is not kept apart, and is on ECS: users, capabilities, limits,
 * and every file outside the folder.
 */
export class Container {
  readonly definition: ContainerDefinition;
  readonly #options: ContainerOptions;
  readonly #environment: Record<string, string>;
  #group: number | undefined;
  /** Of the command itself; undefined before it runs and once it has ended. */
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
      // What its command left behind ends with it, as all of a container does.
      this.#signalGroup("SIGKILL");
      this.#group = undefined;
      return (code as number | null) ?? 137;
    });
    const pid = Number(await text(child.stdio[3] as NodeJS.ReadableStream & NodeJS.ReadStream));
    if (this.#group !== undefined) this.pid = pid;
    return { ended };
  }

  /** Sends the command a signal; false where it does not run. */
  signal(signal: NodeJS.Signals): boolean {
    if (this.pid === undefined) return false;
    process.kill(this.pid, signal);
    return true;
  }

  /** Ends everything in it at once. */
  kill(): void {
    this.#signalGroup("SIGKILL");
  }

  /** Runs its health check once: the exit code, or 137 where it took too long. */
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

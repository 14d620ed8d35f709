import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, readlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { AppRoleCredentials } from "../../services/shared/vault/approle.ts";
import type { Kind } from "../../services/shared/work/kinds.ts";
import type { PrivateDestination } from "../../services/worker/outbound/private-destinations.ts";
import { type PublishedPlaces, workerCommand } from "./credential-commands.ts";
import { residentMemory } from "./resident-memory.ts";

export interface WorkerSettings {
  kind: Kind;
  /** A folder for its login, its exceptions and, unless told otherwise, its queues. */
  folder: string;
  queues?: string;
  /** Its login at the internal Vault; none for kind `feed`. */
  login?: { address: string; credentials: AppRoleCredentials };
  exceptions?: PrivateDestination[];
  /** For kind `broker`. */
  published?: PublishedPlaces;
  settings?: Record<string, string>;
  /** Another program than `main.ts`, with arguments. */
  program?: string[];
  environment?: Record<string, string>;
  nodeFlags?: string[];
  /** Without Node's permission model. */
  unconfined?: true;
}

/** A worker as a process of its own, under Node's permission model, as it runs in production. */
export interface WorkerProcess {
  child: ChildProcess;
  pid: number;
  /** Its log lines so far. */
  lines(): Record<string, unknown>[];
  /** All that it has written to stdout and stderr. */
  output(): string;
  /** Resolves with its exit status, or the signal that ended it. */
  ended: Promise<number | NodeJS.Signals>;
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Inodes of its sockets that listen. */
  listening(): Promise<string[]>;
  /** Resident memory in bytes. */
  rss(): Promise<number>;
}

export async function startWorkerProcess(options: WorkerSettings): Promise<WorkerProcess> {
  const { kind, folder, login, exceptions, settings = {}, ...changes } = options;
  const queues = options.queues ?? join(folder, "queues");
  const at = (name: string) => join(folder, name);
  await mkdir(queues, { recursive: true, mode: 0o700 });
  const [roleIdFile, secretIdFile] = [at("role-id"), at("secret-id")];
  if (login) {
    await writeFile(roleIdFile, login.credentials.roleId.reveal(), { mode: 0o600 });
    await writeFile(secretIdFile, login.credentials.secretId.reveal(), { mode: 0o600 });
  }
  if (exceptions) await writeFile(at("destinations.json"), JSON.stringify(exceptions));
  const { args, env } = workerCommand({
    ...{ ...changes, kind, queues, settings },
    ...(exceptions && { exceptions: at("destinations.json") }),
    ...(login && { login: { roleIdFile, secretIdFile }, vault: login.address }),
  });
  const child = spawn(process.execPath, args, { env, cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  const ended = once(child, "close").then(
    ([status, signal]) => (status ?? signal) as number | NodeJS.Signals,
  );
  const pid = child.pid as number;
  return {
    ...{ child, pid, ended },
    output: () => output,
    lines: () =>
      output
        .split("\n")
        .filter((line) => line.startsWith("{"))
        .map((line) => JSON.parse(line)),
    kill: async (signal = "SIGTERM") => {
      child.kill(signal);
      await ended;
    },
    listening: () => listeningSockets(pid),
    rss: () => residentMemory(pid),
  };
}

const LISTEN = "0A";

/** The inodes of TCP sockets in state LISTEN, and of bound UDP sockets, that a process holds. */
async function listeningSockets(pid: number): Promise<string[]> {
  const inodes = new Set<string>();
  for (const name of await readdir(`/proc/${pid}/fd`)) {
    const target = await readlink(`/proc/${pid}/fd/${name}`).catch(() => "");
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    if (inode) inodes.add(inode);
  }
  const found: string[] = [];
  for (const table of ["tcp", "tcp6"]) {
    const text = await readFile(`/proc/${pid}/net/${table}`, "utf8").catch(() => "");
    for (const line of text.split("\n").slice(1)) {
      const columns = line.trim().split(/\s+/);
      if (columns[3] === LISTEN && inodes.has(columns[9] ?? "")) found.push(columns[9] as string);
    }
  }
  return found;
}

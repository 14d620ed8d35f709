import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, readlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { AppRoleCredentials } from "../../services/shared/vault/approle.ts";
import type { Kind } from "../../services/shared/work/kinds.ts";
import type { PrivateDestination } from "../../services/worker/outbound/private-destinations.ts";
import { MEMORY_FLAGS, permissionFlags, WORKER_ENVIRONMENT } from "../../services/worker/permission-flags.ts";

const TOP = fileURLToPath(new URL("../..", import.meta.url));
const MAIN = join(TOP, "services/worker/main.ts");

export interface WorkerSettings {
  kind: Kind;
  /** A folder for its login, its exceptions and, unless told otherwise, its queues. */
  folder: string;
  queues?: string;
  /** Its login at the internal Vault; none for kind `feed`. */
  login?: { address: string; credentials: AppRoleCredentials };
  exceptions?: PrivateDestination[];
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
  const { kind, folder, login, exceptions, settings = {}, program = [MAIN], environment = {} } = options;
  const queues = options.queues ?? join(folder, "queues");
  const at = (name: string) => join(folder, name);
  await mkdir(queues, { recursive: true, mode: 0o700 });
  const env: Record<string, string> = { STRONGROOM_KIND: kind, STRONGROOM_QUEUES: `local:${queues}` };
  if (login) {
    await writeFile(at("role-id"), login.credentials.roleId.reveal(), { mode: 0o600 });
    await writeFile(at("secret-id"), login.credentials.secretId.reveal(), { mode: 0o600 });
    env.STRONGROOM_KEY = `transit:${kind}`;
    env.STRONGROOM_INTERNAL_VAULT_ADDR = login.address;
    env.STRONGROOM_ROLE_ID_FILE = at("role-id");
    env.STRONGROOM_SECRET_ID_FILE = at("secret-id");
  }
  if (exceptions) {
    await writeFile(at("destinations.json"), JSON.stringify(exceptions));
    env.STRONGROOM_PRIVATE_DESTINATIONS_FILE = at("destinations.json");
  }
  const files = ["role-id", "secret-id", "destinations.json"].map(at);
  const code = ["services", "node_modules", "package.json"].map((name) => join(TOP, name));
  const own = program[0] === MAIN ? [] : [join(TOP, "test")];
  const flags = permissionFlags({ code: [...code, ...own], queues, files });
  const child = spawn(
    process.execPath,
    [...MEMORY_FLAGS, ...(options.unconfined ? [] : flags), ...(options.nodeFlags ?? []), ...program],
    {
      env: { ...WORKER_ENVIRONMENT, ...env, ...settings, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
      cwd: folder,
    },
  );
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
    rss: async () => {
      const status = await readFile(`/proc/${pid}/status`, "utf8");
      return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
    },
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

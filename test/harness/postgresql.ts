import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chown, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Client } from "pg";
import { describe, test } from "vitest";
import { selfSignedCertificate } from "../../services/cli/platform/self-signed-certificate.ts";
import type { PrivateDestination } from "../../services/worker/outbound/private-destinations.ts";
import { freeListen } from "./vault.ts";

const VERSIONS = "/usr/lib/postgresql";
const run = promisify(execFile);
/** PostgreSQL does not start as root. */
const NOBODY = { uid: 65_534, gid: 65_534 };

/** The folder of PostgreSQL's programs, or why there is none. */
async function findPostgresql(): Promise<{ programs: string } | { missing: string }> {
  const versions = await readdir(VERSIONS).catch(() => []);
  const newest = versions.sort((one, other) => Number(other) - Number(one))[0];
  return newest === undefined
    ? { missing: `PostgreSQL is not installed under ${VERSIONS} (Debian: apt-get install postgresql)` }
    : { programs: join(VERSIONS, newest, "bin") };
}

const found = await findPostgresql();

/** A suite that needs PostgreSQL, whose programs it gets; where there is none, one test in its place that says so. */
export function describeOnPostgresql(name: string, suite: (programs: string) => void): void {
  if ("programs" in found) describe(name, () => suite(found.programs));
  else test.skip("on a real PostgreSQL (skipped: no PostgreSQL)", () => {});
}

/** A PostgreSQL server of one's own on loopback, with TLS, that logs every statement. */
export interface PostgresqlServer {
  /** A name that resolves nowhere. */
  host: string;
  port: number;
  /** By which a worker reaches it. */
  exception: PrivateDestination;
  /** Runs statements as the superuser. */
  sql(...statements: string[]): Promise<void>;
  /** Whether a role logs in with a password. */
  logsIn(role: string, password: string): Promise<boolean>;
  log(): Promise<string>;
  stop(): Promise<void>;
}

/** `hba`: how roles log in over TLS: `scram-sha-256` unless given. */
export async function startPostgresql(
  programs: string,
  { auth = "scram-sha-256", tls = true }: { auth?: string; tls?: boolean } = {},
): Promise<PostgresqlServer> {
  const folder = await mkdtemp(join(tmpdir(), "strongroom-postgresql-"));
  const at = (name: string) => join(folder, name);
  const as: Partial<typeof NOBODY> = process.getuid?.() === 0 ? NOBODY : {};
  const give = async (path: string) => {
    if (as.uid !== undefined && as.gid !== undefined) await chown(path, as.uid, as.gid);
  };
  await give(folder);
  const host = "db.example.com";
  const port = Number((await freeListen()).split(":")[1]);
  const env = { PATH: "/usr/bin:/bin", LC_ALL: "C" };
  await run(
    join(programs, "initdb"),
    ["-D", at("data"), "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8"],
    { ...as, env, cwd: folder },
  );
  const { certificate, key } = selfSignedCertificate(host, 1);
  const own = async (name: string, text: string) => {
    await writeFile(at(name), text, { mode: 0o600 });
    await give(at(name));
  };
  await own("server.crt", certificate);
  await own("server.key", key.reveal());
  await own("data/pg_hba.conf", `local all postgres trust\nhost all all 127.0.0.1/32 ${auth}\n`);
  const settings = {
    ...{ listen_addresses: "127.0.0.1", port, unix_socket_directories: folder, fsync: "off" },
    ...{ ssl: tls ? "on" : "off", ssl_cert_file: at("server.crt"), ssl_key_file: at("server.key") },
    ...{ log_statement: "all", log_connections: "on", log_min_duration_statement: 0 },
    password_encryption: auth === "md5" ? "md5" : "scram-sha-256",
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const child = spawn(join(programs, "postgres"), ["-D", at("data"), ...args], {
    ...{ ...as, env, cwd: folder, stdio: ["ignore", "ignore", "pipe"] },
  });
  let log = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    log += text;
  });
  const ended = once(child, "exit");
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGQUIT");
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  await new Promise<void>((resolve, reject) => {
    child.stderr?.on("data", () => {
      if (log.includes("ready to accept connections")) resolve();
    });
    child.once("exit", () => reject(new Error(`PostgreSQL did not start:\n${log}`)));
  });
  const withClient = async <T>(client: Client, act: () => Promise<T>): Promise<T> => {
    client.on("error", () => {});
    await client.connect();
    try {
      return await act();
    } finally {
      await client.end();
    }
  };
  return {
    ...{ host, port, stop },
    exception: { origin: `postgresql://${host}:${port}`, address: "127.0.0.1", ca: certificate },
    async sql(...statements) {
      const client = new Client({ host: folder, port, user: "postgres", database: "postgres" });
      await withClient(client, async () => {
        for (const statement of statements) await client.query(statement);
      });
    },
    async logsIn(user, password) {
      const client = new Client({
        ...{ host: "127.0.0.1", port, user, password, database: "postgres" },
        ssl: tls ? { ca: certificate, servername: host, checkServerIdentity: () => undefined } : false,
      });
      return withClient(client, async () => true).catch((error: { code?: string }) => {
        if (error.code === "28P01") return false;
        throw error;
      });
    },
    log: async () => log,
  };
}

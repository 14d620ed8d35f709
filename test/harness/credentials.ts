import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Dispatcher } from "undici";
import {
  brokerClientSettings,
  brokerListenerSettings,
  writeBrokerCertificates,
} from "../../services/cli/platform/broker-connection.ts";
import { StateFolder } from "../../services/cli/platform/state-folder.ts";
import type { CreateUse, UseWithResult } from "../../services/shared/api/uses.ts";
import { type Level, newOrgId } from "../../services/shared/org.ts";
import { embeddedQueue } from "../../services/shared/queue/embedded.ts";
import type { AppRoleCredentials } from "../../services/shared/vault/approle.ts";
import type { DestinationPolicy } from "../../services/shared/work/destination.ts";
import { KINDS, type Kind } from "../../services/shared/work/kinds.ts";
import type { PrivateDestination } from "../../services/worker/outbound/private-destinations.ts";
import { type ApiAnswer, type CallOptions, CredentialClient, memberTokens } from "./credential-client.ts";
import { intakeCommand, workerCommand } from "./credential-commands.ts";
import { headerPolicy } from "./credential-jobs.ts";
import { type Destination, startDestination } from "./destination.ts";
import {
  type DirectoryKey,
  type DirectoryServer,
  newDirectoryKey,
  startDirectoryServer,
} from "./directory.ts";
import { Part } from "./part.ts";
import { startIssuer, type TestIssuer } from "./tokens.ts";
import { freeListen, type InternalVault, startInternalVault } from "./vault.ts";

/** A login at the internal Vault, and the files by which its service has it. */
export interface ServiceLogin {
  credentials: AppRoleCredentials;
  roleIdFile: string;
  secretIdFile: string;
}

export interface CredentialPlatformOptions {
  /** The workers to start; a kind but `broker` may come more than once. One of kind `integration` unless given. */
  workers?: Kind[];
  /** One unless given. */
  destinations?: number;
  /** Further places that workers may connect to, such as providers of OAuth. */
  exceptions?: PrivateDestination[];
  /** Organizations by the claim of their tokens; `org_acme` and `org_globex` unless given. */
  claims?: string[];
  /** Beside those that they need. */
  intakeSettings?: Record<string, string>;
  workerSettings?: Record<string, string>;
}

/**
 * What the platform has for credentials, with real parts: an internal Vault, an issuer, published documents, the intake
 * and workers as processes of their own under the flags of production, and destinations on loopback.
 */
export interface CredentialPlatform {
  /** `intake/`, `worker-<kind>/` (its login), `worker-<kind>-<n>/` (its working directory), `queues/<kind>/`, `logs/`. */
  folder: string;
  internal: InternalVault;
  issuer: TestIssuer;
  directoryServer: DirectoryServer;
  directoryKey: DirectoryKey;
  /** Organizations' ids by claim. */
  orgs: Record<string, string>;
  destinations: Destination[];
  /** The first one. */
  destination: Destination;
  logins: Record<keyof InternalVault["logins"], ServiceLogin>;
  /** The intake's SQLite file. */
  storeFile: string;
  /** The folder of a kind's `jobs.sqlite` and `results.sqlite`. */
  queues(kind: Kind): string;
  /** `http://127.0.0.1:PORT`, the same after a restart. */
  address: string;
  intake: Part;
  /** In the order of the options; `startWorker` adds to them. */
  workers: Part[];
  /** Starts another worker, with other settings or another program if given. */
  startWorker(kind: Kind, changes?: WorkerChanges): Promise<Part>;
  /** A member's token: of `org_acme` and of level `admin` unless given. The same for five minutes. */
  token(claim?: string, level?: Level): string;
  api<T = Record<string, unknown>>(
    method: Dispatcher.HttpMethod,
    path: string,
    token?: string,
    options?: CallOptions,
  ): Promise<ApiAnswer<T>>;
  /** Stores a credential. Throws if it is refused. Its destination is the first one, `/v1/**`, unless given. */
  putCredential(name: string, value: string, token?: string, policy?: DestinationPolicy): Promise<void>;
  /** Submits a use of a credential, waits at most 30 s for its end. Throws unless it is accepted. */
  runJob(use: CreateUse, token?: string, headers?: Record<string, string>): Promise<UseWithResult>;
  /** Puts a message into the queue of a kind, as nobody but the intake may. */
  inject(kind: Kind, queue: "jobs" | "results", group: string, ...bodies: string[]): Promise<void>;
  stop(): Promise<void>;
}

export interface WorkerChanges {
  settings?: Record<string, string>;
  /** Another program than `main.ts`, with arguments. */
  program?: string[];
  /** Variables that are no settings. */
  environment?: Record<string, string>;
  nodeFlags?: string[];
}

export async function startCredentialPlatform(
  vaultBinary: string,
  options: CredentialPlatformOptions = {},
): Promise<CredentialPlatform> {
  const {
    claims = ["org_acme", "org_globex"],
    workers: kinds = ["integration"],
    exceptions: others = [],
  } = options;
  const [claim = ""] = claims;
  const folder = await mkdtemp(join(tmpdir(), "strongroom-credentials-"));
  const at = (...parts: string[]) => join(folder, ...parts);
  const closers: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })];
  const stop = async () => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    const internal = await startInternalVault(vaultBinary);
    closers.push(internal.stop);
    const issuer = await startIssuer();
    closers.push(issuer.close);
    const directoryKey = newDirectoryKey();
    const directoryServer = await startDirectoryServer(directoryKey);
    closers.push(directoryServer.close);
    const destinations = await Promise.all(
      Array.from({ length: options.destinations ?? 1 }, () => startDestination(internal)),
    );
    closers.push(() => Promise.all(destinations.map((each) => each.down())));
    const orgs = Object.fromEntries(claims.map((each) => [each, newOrgId()]));
    await publishOrgs(directoryServer, issuer, orgs);
    const logins = await writeFiles(at, internal, directoryKey);

    const state = new StateFolder(folder);
    await writeBrokerCertificates(state);
    const brokerPort = portOf(await freeListen());
    const listen = await freeListen();
    const [address, storeFile] = [`http://${listen}`, at("intake", "store.sqlite")];
    const queues = (kind: Kind) => at("queues", kind);
    const intake = new Part({
      ...{ name: "intake", folder: at("intake"), logFile: at("logs", "intake.log") },
      readyLine: "Server listening",
      command: intakeCommand({
        ...{ listen, storeFile, queues, login: logins.intake, vault: internal.endpoint.address },
        published: { directoryServer, folder: at("intake") },
        ports: [...destinations.map(({ port }) => port), ...others.map(({ origin }) => portOf(origin))],
        settings: { ...brokerClientSettings(state, brokerPort), ...options.intakeSettings },
      }),
    });
    closers.push(() => intake.kill("SIGTERM"));
    const workers: Part[] = [];
    closers.push(() => Promise.all(workers.map((each) => each.kill())));
    const startWorker = async (kind: Kind, changes: WorkerChanges = {}): Promise<Part> => {
      const name = `worker-${kind}-${workers.length + 1}`;
      await mkdir(at(name), { mode: 0o700 });
      const exceptions = at(name, "private-destinations.json");
      await writeFile(
        exceptions,
        JSON.stringify([...destinations.map(({ exception }) => exception), ...others]),
      );
      const settings = {
        ...(kind === "broker" && brokerListenerSettings(state, brokerPort)),
        ...options.workerSettings,
        ...changes.settings,
      };
      const part = new Part({
        ...{ name, folder: at(name), logFile: at("logs", `${name}.log`), readyLine: "started" },
        command: workerCommand({
          ...{ ...changes, kind, queues: queues(kind), exceptions, settings },
          ...(kind !== "feed" && { login: logins[`worker-${kind}`], vault: internal.endpoint.address }),
          ...(kind === "broker" && { published: { directoryServer, folder: at("worker-broker") } }),
        }),
      });
      workers.push(part);
      await part.start();
      return part;
    };
    const client = new CredentialClient(address);
    closers.push(() => client.close());
    const tokenOf = memberTokens(issuer);
    const token = (of = claim, level: Level = "admin") => tokenOf(of, level);
    const [destination] = destinations as [Destination];

    await intake.start();
    for (const kind of kinds) await startWorker(kind);
    return {
      ...{ folder, internal, issuer, directoryServer, directoryKey, orgs, destinations, destination, logins },
      ...{ storeFile, queues, address, intake, workers, startWorker, token, stop },
      api: (method, path, by = token(), call = {}) => client.api(method, path, by, call),
      putCredential: (name, value, by = token(), policy = headerPolicy(destination.origin)) =>
        client.putCredential(name, value, by, policy),
      runJob: (use, by = token(), headers = {}) => client.runJob(use, by, headers),
      async inject(kind, name, group, ...bodies) {
        const queue = await embeddedQueue(join(queues(kind), `${name}.sqlite`));
        try {
          for (const body of bodies) await queue.send({ body, group });
        } finally {
          await queue.close();
        }
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

const portOf = (listen: string) => Number(listen.slice(listen.lastIndexOf(":") + 1));

/** The rows of a table of a queue (`messages` or `dead`), read past the queue. */
export function queueRows(
  queues: string,
  queue: "jobs" | "results",
  table: "messages" | "dead",
): Record<string, unknown>[] {
  const database = new DatabaseSync(join(queues, `${queue}.sqlite`), { readOnly: true });
  try {
    return database.prepare(`SELECT * FROM ${table} ORDER BY id`).all();
  } finally {
    database.close();
  }
}

async function publishOrgs(
  directoryServer: DirectoryServer,
  { issuer }: TestIssuer,
  orgs: Record<string, string>,
): Promise<void> {
  await directoryServer.publish({
    ...{ version: 1, issuedAt: new Date().toISOString(), issuers: [issuer], deleted: [] },
    orgs: Object.entries(orgs).map(([claim, id]) => ({
      ...{ id, claim, issuer: issuer.issuer, address: "https://127.0.0.1:1" },
    })),
  });
}

/** Makes the folders, and writes the logins and what verifies published documents. */
async function writeFiles(
  at: (...parts: string[]) => string,
  { logins }: InternalVault,
  { publicPem, ownershipPem }: DirectoryKey,
): Promise<CredentialPlatform["logins"]> {
  for (const path of [
    "intake",
    "worker-broker/published",
    "logs",
    ...KINDS.map((kind) => join("queues", kind)),
  ]) {
    await mkdir(at(path), { recursive: true, mode: 0o700 });
  }
  for (const service of ["intake", "worker-broker"]) {
    await writeFile(at(service, "directory-key.pem"), publicPem);
    await writeFile(at(service, "ownership-key.pem"), ownershipPem);
  }
  const write = async (name: keyof InternalVault["logins"]): Promise<ServiceLogin> => {
    await mkdir(at(name), { recursive: true, mode: 0o700 });
    const [roleIdFile, secretIdFile] = [at(name, "role-id"), at(name, "secret-id")];
    await writeFile(roleIdFile, logins[name].roleId.reveal(), { mode: 0o600 });
    await writeFile(secretIdFile, logins[name].secretId.reveal(), { mode: 0o600 });
    return { credentials: logins[name], roleIdFile, secretIdFile };
  };
  return {
    intake: await write("intake"),
    "worker-integration": await write("worker-integration"),
    "worker-webhook": await write("worker-webhook"),
    "worker-broker": await write("worker-broker"),
  };
}

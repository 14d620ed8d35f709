import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Agent, type Dispatcher } from "undici";
import type { CreateUse, UseWithResult } from "../../services/shared/api/uses.ts";
import { type Level, newOrgId } from "../../services/shared/org.ts";
import { embeddedQueue } from "../../services/shared/queue/embedded.ts";
import type { AppRoleCredentials } from "../../services/shared/vault/approle.ts";
import type { DestinationPolicy } from "../../services/shared/work/destination.ts";
import { KINDS, type Kind } from "../../services/shared/work/kinds.ts";
import { intakeCommand, type PublishedPlaces, workerCommand } from "./credential-commands.ts";
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

export interface ApiAnswer<T = Record<string, unknown>> {
  status: number;
  headers: Dispatcher.ResponseData["headers"];
  body: T;
  text: string;
}

export interface CallOptions {
  body?: unknown;
  headers?: Record<string, string>;
}

export interface CredentialPlatformOptions {
  /** The workers to start; a kind may come more than once. One of kind `integration` unless given. */
  workers?: Kind[];
  /** One unless given. */
  destinations?: number;
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
  /** `intake/`, `worker-<kind>-<n>/`, `queues/<kind>/`, `logs/`. */
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
  logins: Record<"intake" | "worker-integration" | "worker-webhook", ServiceLogin>;
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

const TOKEN_SECONDS = 300;

export async function startCredentialPlatform(
  vaultBinary: string,
  options: CredentialPlatformOptions = {},
): Promise<CredentialPlatform> {
  const { claims = ["org_acme", "org_globex"], workers: kinds = ["integration"] } = options;
  const folder = await mkdtemp(join(tmpdir(), "strongroom-credentials-"));
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
    closers.push(async () => void (await Promise.all(destinations.map((each) => each.down()))));
    const agent = new Agent({ connections: 128, keepAliveTimeout: 4_000 });
    closers.push(() => agent.destroy());

    const orgs = Object.fromEntries(claims.map((claim) => [claim, newOrgId()]));
    await directoryServer.publish({
      ...{ version: 1, issuedAt: new Date().toISOString(), issuers: [issuer.issuer], deleted: [] },
      orgs: claims.map((claim) => ({
        ...{ id: orgs[claim] as string, claim, address: "https://127.0.0.1:1" },
        issuer: issuer.issuer.issuer,
      })),
    });
    const at = (...parts: string[]) => join(folder, ...parts);
    const queues = (kind: Kind) => at("queues", kind);
    for (const path of ["intake", "logs", ...KINDS.map((kind) => `queues/${kind}`)]) {
      await mkdir(at(path), { recursive: true, mode: 0o700 });
    }
    await writeFile(at("intake", "directory-key.pem"), directoryKey.publicPem);
    await writeFile(at("intake", "ownership-key.pem"), directoryKey.ownershipPem);
    const writeLogin = async (login: keyof InternalVault["logins"], place: string): Promise<ServiceLogin> => {
      const credentials = internal.logins[login];
      const [roleIdFile, secretIdFile] = [join(place, "role-id"), join(place, "secret-id")];
      await writeFile(roleIdFile, credentials.roleId.reveal(), { mode: 0o600 });
      await writeFile(secretIdFile, credentials.secretId.reveal(), { mode: 0o600 });
      return { credentials, roleIdFile, secretIdFile };
    };
    const logins = {} as CredentialPlatform["logins"];
    for (const login of ["intake", "worker-integration", "worker-webhook"] as const) {
      await mkdir(at(login), { recursive: true, mode: 0o700 });
      logins[login] = await writeLogin(login, at(login));
    }
    const listen = await freeListen();
    const published: PublishedPlaces = { directoryServer, folder: at("intake") };
    const storeFile = at("intake", "store.sqlite");
    const intake = new Part({
      ...{ name: "intake", folder: at("intake"), logFile: at("logs", "intake.log") },
      readyLine: "Server listening",
      command: intakeCommand({
        ...{ listen, published, storeFile, queues, login: logins.intake, vault: internal.endpoint.address },
        ports: destinations.map(({ port }) => port),
        settings: options.intakeSettings ?? {},
      }),
    });
    closers.push(() => intake.kill("SIGTERM"));

    const workers: Part[] = [];
    closers.push(async () => void (await Promise.all(workers.map((each) => each.kill("SIGKILL")))));
    const startWorker = async (kind: Kind, changes: WorkerChanges = {}): Promise<Part> => {
      const name = `worker-${kind}-${workers.length + 1}`;
      await mkdir(at(name), { mode: 0o700 });
      const exceptions = at(name, "private-destinations.json");
      await writeFile(exceptions, JSON.stringify(destinations.map(({ exception }) => exception)));
      const login = kind === "feed" ? undefined : await writeLogin(`worker-${kind}`, at(name));
      const settings = { ...options.workerSettings, ...changes.settings };
      const part = new Part({
        ...{ name, folder: at(name), logFile: at("logs", `${name}.log`), readyLine: "started" },
        command: workerCommand({
          ...{ ...changes, kind, queues: queues(kind), exceptions, settings },
          ...(login && { login, vault: internal.endpoint.address }),
        }),
      });
      workers.push(part);
      await part.start();
      return part;
    };
    await intake.start();
    for (const kind of kinds) await startWorker(kind);

    const address = `http://${listen}`;
    const tokens = new Map<string, { token: string; until: number }>();
    const self: CredentialPlatform = {
      ...{ folder, internal, issuer, directoryServer, directoryKey, orgs, destinations, logins },
      ...{ storeFile, queues, address, intake, workers, startWorker, stop },
      destination: destinations[0] as Destination,
      token(claim = claims[0] as string, level = "admin") {
        const key = `${claim}/${level}`;
        const held = tokens.get(key);
        if (held && held.until > Date.now()) return held.token;
        const { orgClaim, groupsClaim } = issuer.issuer;
        const token = issuer.token({ [orgClaim]: claim, [groupsClaim]: level === "reader" ? [] : [level] });
        tokens.set(key, { token, until: Date.now() + (TOKEN_SECONDS - 60) * 1000 });
        return token;
      },
      async api<T>(
        method: Dispatcher.HttpMethod,
        path: string,
        token = self.token(),
        { body, headers = {} }: CallOptions = {},
      ) {
        const answer = await agent.request({
          ...{ origin: address, method, path },
          headers: {
            authorization: `Bearer ${token}`,
            ...(body !== undefined && { "content-type": "application/json" }),
            ...headers,
          },
          body: body === undefined ? null : JSON.stringify(body),
        });
        const text = await answer.body.text();
        const json = text === "" ? undefined : JSON.parse(text);
        return { status: answer.statusCode, headers: answer.headers, text, body: json as T };
      },
      async putCredential(name, value, token, policy = headerPolicy(self.destination.origin)) {
        const body = { value, destination: policy };
        const { status, text } = await self.api("PUT", `/v1/credentials/${name}`, token, { body });
        if (status !== 200 && status !== 201)
          throw new Error(`the credential was refused: ${status} ${text}`);
      },
      async runJob(use, token, headers = {}) {
        const wait = { prefer: "wait=30", ...headers };
        const answer = await self.api<UseWithResult>("POST", "/v1/jobs", token, { body: use, headers: wait });
        if (answer.status === 200 || answer.status === 202) return answer.body;
        throw new Error(`the job was refused: ${answer.status} ${answer.text}`);
      },
      async inject(kind, name, group, ...bodies) {
        const queue = await embeddedQueue(join(queues(kind), `${name}.sqlite`));
        try {
          for (const body of bodies) await queue.send({ body, group });
        } finally {
          await queue.close();
        }
      },
    };
    return self;
  } catch (error) {
    await stop();
    throw error;
  }
}

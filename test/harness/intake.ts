import { mkdtemp, rm } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import type { TSchema } from "typebox";
import { Value } from "typebox/value";
import { expect } from "vitest";
import { selfSignedCertificate } from "../../services/cli/platform/self-signed-certificate.ts";
import { buildIntake, type IntakeOptions } from "../../services/intake/app.ts";
import { type BrokerClient, createBrokerClient } from "../../services/intake/broker/client.ts";
import type { Intake } from "../../services/intake/dependencies.ts";
import { JobWatch } from "../../services/intake/jobs/watch.ts";
import { sqliteStore } from "../../services/intake/store/sqlite.ts";
import type { Store } from "../../services/intake/store/store.ts";
import type { KeyProvider } from "../../services/shared/envelope/key-provider.ts";
import { newOrgId } from "../../services/shared/org.ts";
import { openQueues, type Queues } from "../../services/shared/queue/open-queues.ts";
import { KINDS, type Kind, type Purpose } from "../../services/shared/work/kinds.ts";
import type { Outcome } from "../../services/shared/work/messages.ts";
import { type DirectoryKey, newDirectoryKey } from "./directory.ts";
import { type MemoryKeyProvider, memoryKeyProvider } from "./key-provider.ts";
import { type Published, startPublished } from "./published.ts";
import { type MemorySigner, memorySigner } from "./signer.ts";
import { newPair, startIssuer, type TestIssuer } from "./tokens.ts";

/** An answer of the intake. */
export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of every form
  json: any;
}

export interface CallOptions {
  token?: string;
  headers?: Record<string, string>;
  /** Sent as JSON, unless it is a text. */
  body?: unknown;
}

/** An intake of its own process in production, here in this one; several may share a stage. */
export interface TestIntake {
  address: string;
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  close(): Promise<void>;
}

/** A message as a stand-in worker sees it. */
// biome-ignore lint/suspicious/noExplicitAny: messages of every kind
export type Message = Record<string, any> & { job: string; org: string; attempt: number; type: string };

/**
 * What intakes share: issuer, directory with the organizations `acme` and `globex`, a store on SQLite, queues on
 * SQLite, and keys in memory unless given. A stand-in for workers takes jobs from the real queues.
 */
export interface IntakeStage {
  issuer: TestIssuer;
  published: Published;
  directoryKey: DirectoryKey;
  acme: string;
  globex: string;
  store: Store;
  folder: string;
  keys: Record<Purpose, KeyProvider & Partial<Pick<MemoryKeyProvider, "opened">>>;
  signer: MemorySigner;
  /** Of the stand-in worker's side. */
  queues: Record<Kind, Queues>;
  /** What all intakes here have logged. */
  log: string[];
  /** Of the intakes' own work; tokens are verified by the system's clock. */
  clock: { now(): number; skip(seconds: number): void };
  start(changes?: Partial<Intake>, options?: Partial<IntakeOptions>): Promise<TestIntake>;
  /** A member's token: a reader's of `acme` unless told otherwise. */
  token(level?: "writer" | "admin", claim?: string, subject?: string): string;
  /** Has messages of a kind answered. Undefined: no result is sent. */
  answer(
    kind: Kind,
    handler: (message: Message) => Outcome | undefined | Promise<Outcome | undefined>,
  ): Message[];
  /** Sends a result as a worker would. */
  report(
    kind: Kind,
    message: { job: string; org: string; attempt: number },
    outcome: Outcome | object,
  ): Promise<void>;
  close(): Promise<void>;
}

export async function startIntakeStage(
  given: { keys?: Record<Purpose, KeyProvider>; directoryKey?: DirectoryKey } = {},
): Promise<IntakeStage> {
  const folder = await mkdtemp(join(tmpdir(), "strongroom-intake-"));
  const issuer = await startIssuer({}, newPair("ES256"));
  const log: string[] = [];
  const logger = pino({ level: "debug" }, { write: (line: string) => void log.push(line) });
  let ahead = 0;
  const clock = {
    now: () => Date.now() + ahead,
    skip(seconds: number) {
      ahead += seconds * 1000;
    },
  };
  const directoryKey = given.directoryKey ?? newDirectoryKey();
  const published = await startPublished({
    directoryKey,
    issuers: [issuer],
    logger: pino({ level: "silent" }),
    now: Date.now,
  });
  const [acme, globex] = [newOrgId(), newOrgId()];
  await published.publish([
    { id: acme, claim: "org_acme", address: "https://127.0.0.1:1" },
    { id: globex, claim: "org_globex", address: "https://127.0.0.1:1" },
  ]);
  const open = async () =>
    Object.fromEntries(
      await Promise.all(
        KINDS.map(async (kind) => [kind, await openQueues(`local:${join(folder, "queues", kind)}`)] as const),
      ),
    ) as Record<Kind, Queues>;
  const store = await sqliteStore(join(folder, "store.sqlite"), { now: clock.now });
  const queues = await open();
  const intakeQueues = await open();
  const keys = given.keys ?? {
    integration: memoryKeyProvider("integration"),
    webhook: memoryKeyProvider("webhook"),
    broker: memoryKeyProvider("broker"),
  };
  const signer = memorySigner();
  const intakes: TestIntake[] = [];
  const consumptions: { stop(graceMs: number): Promise<void> }[] = [];

  const report: IntakeStage["report"] = async (kind, { job, org, attempt }, outcome) => {
    const at = new Date().toISOString();
    const body = JSON.stringify({ job, org, attempt, outcome, startedAt: at, endedAt: at });
    await queues[kind].results.send({ body, group: org });
  };

  return {
    ...{
      issuer,
      published,
      directoryKey,
      acme,
      globex,
      store,
      folder,
      keys,
      signer,
      queues,
      log,
      clock,
      report,
    },
    async start(changes = {}, options = {}) {
      // The queues of one intake: each takes the results by a consumption of its own.
      const own = intakes.length === 0 ? intakeQueues : await open();
      const intake: Intake = {
        ...{ store, keys, queues: own, destinationPorts: new Set([443, 8443]), watch: new JobWatch() },
        ...{ broker: noBroker(), uses: { ofOrg: 256, ofCredential: 128, mostBodyBytes: 1024 ** 3 } },
        ...{ receiptsSigner: signer, log: logger, now: clock.now },
        ...changes,
      };
      const app = await buildIntake({
        intake,
        directory: published.directory,
        revocations: published.revocations,
        maxTokenLifetimeSeconds: 3600,
        dueEveryMs: 100,
        ...options,
      });
      await app.listen({ host: "127.0.0.1", port: 0 });
      let described: Operation[] | undefined;
      const address = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
      let closed: Promise<void> | undefined;
      const started: TestIntake = {
        address,
        async call(method, path, callOptions = {}) {
          const answer = await call(address, method, path, callOptions);
          described ??= await operationsOf(app);
          // As it was sent: fetch removes dot segments.
          expectDescribed(described, method, new URL(path, address).pathname, answer);
          return answer;
        },
        close() {
          closed ??= (async () => {
            await app.close();
            await closeQueues(own);
          })();
          return closed;
        },
      };
      intakes.push(started);
      return started;
    },
    token(level, claim = "org_acme", subject = "ada") {
      const { groupsClaim, orgClaim } = issuer.issuer;
      return issuer.token({
        ...{ sub: subject, [orgClaim]: claim },
        ...(level && { [groupsClaim]: [level] }),
      });
    },
    answer(kind, handler) {
      const seen: Message[] = [];
      const options = { concurrency: 8, visibilitySeconds: 30, maxReceives: 5 };
      consumptions.push(
        queues[kind].jobs.consume(options, async ({ body }) => {
          const message = JSON.parse(body) as Message;
          seen.push(message);
          const outcome = await handler(message);
          if (outcome) await report(kind, message, outcome);
          return { done: true };
        }),
      );
      return seen;
    },
    report,
    async close() {
      await Promise.all(consumptions.map((each) => each.stop(1_000)));
      await Promise.all(intakes.map((each) => each.close()));
      if (intakes.length === 0) await closeQueues(intakeQueues);
      await closeQueues(queues);
      await store.close();
      await published.close();
      await issuer.close();
      await rm(folder, { recursive: true });
    },
  };
}

/** A broker that is away. */
const noBroker = (): BrokerClient =>
  createBrokerClient({
    ...{ url: "https://127.0.0.1:1", pins: new Set() },
    client: selfSignedCertificate("intake", 1),
  });

/** Whether a body is one JSON value, unlike JSON lines. */
const isJsonType = (headers: Headers): boolean => /[/+]json\b/.test(headers.get("content-type") ?? "");

/** What the API says about an operation. */
interface Operation {
  method: string;
  path: RegExp;
  responses: Record<string, { content?: Record<string, { schema?: TSchema }> }>;
}

async function operationsOf(app: Awaited<ReturnType<typeof buildIntake>>): Promise<Operation[]> {
  const { paths } = app.swagger() as unknown as {
    paths: Record<string, Record<string, Pick<Operation, "responses">>>;
  };
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { responses }]) => ({
      method: method.toUpperCase(),
      path: new RegExp(`^${path.replace(/\{[a-z]+\}/g, "[^/]+")}$`),
      responses,
    })),
  );
}

/** Throws if the API answers what its description does not say. */
function expectDescribed(operations: Operation[], method: string, path: string, answer: Answer): void {
  const operation = operations.find((each) => each.method === method && each.path.test(path));
  if (!operation) return;
  const response = operation.responses[answer.status];
  if (!response) throw new Error(`${method} ${path}: ${answer.status} is not described: ${answer.text}`);
  const [content] = Object.entries(response.content ?? {});
  if (!content?.[1].schema || !isJsonType(answer.headers)) return;
  const [problem] = Value.Errors(content[1].schema, answer.json);
  if (!problem) return;
  throw new Error(
    `${method} ${path}: ${answer.status}: ${problem.instancePath} ${problem.message}: ${answer.text}`,
  );
}

async function closeQueues(queues: Record<Kind, Queues>): Promise<void> {
  await Promise.all(KINDS.flatMap((kind) => [queues[kind].jobs.close(), queues[kind].results.close()]));
}

async function call(
  address: string,
  method: string,
  path: string,
  { token, headers, body }: CallOptions,
): Promise<Answer> {
  const isText = typeof body === "string";
  const response = await fetch(`${address}${path}`, {
    method,
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { "content-type": "application/json" }),
      ...headers,
    },
    ...(body !== undefined && { body: isText ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const isJson = isJsonType(response.headers);
  return {
    status: response.status,
    headers: response.headers,
    text,
    json: isJson && text !== "" ? JSON.parse(text) : undefined,
  };
}

/** A credential's body for `PUT`, with changes. */
export const credentialBody = (changes: object = {}) => ({
  value: "sk-live-canary-0123456789",
  destination: {
    origin: "https://api.example.com",
    methods: ["GET", "POST"],
    paths: ["/v1/**"],
    inject: { header: "Authorization", format: "Bearer {}" },
  },
  ...changes,
});

/** What a worker reports of a request that the destination answered. */
export const answered = (status = 200, body = "hello"): Outcome => ({
  state: "answered",
  status,
  headers: [["content-type", "text/plain"]],
  body: Buffer.from(body).toString("base64"),
  scrubbed: 0,
});

/** Expects something within 15 seconds: what is due is done about once a second. */
export const eventually = <T>(read: () => T) => expect.poll(read, { timeout: 15_000 });

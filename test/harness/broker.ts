import { randomUUID } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import type { ClientRequest, IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as sendRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { selfSignedCertificate } from "../../services/cli/platform/self-signed-certificate.ts";
import type { AnswerEnd, AnswerHead, CallFailed, UseCall } from "../../services/shared/broker/calls.ts";
import { dataFrames, type Frame, FrameParser, jsonFrame } from "../../services/shared/broker/frames.ts";
import { type BrokerPolicy, brokerPolicyHash } from "../../services/shared/broker/policy.ts";
import { seal } from "../../services/shared/envelope/envelope.ts";
import type { KeyProvider } from "../../services/shared/envelope/key-provider.ts";
import type { RevocationList } from "../../services/shared/front/published/revocations.ts";
import { newOrgId } from "../../services/shared/org.ts";
import type { Intent, Receipt } from "../../services/shared/receipts/receipt.ts";
import type { Material } from "../../services/shared/work/messages.ts";
import { startBroker } from "../../services/worker/broker/start.ts";
import type { UseParts } from "../../services/worker/broker/use.ts";
import { createExchange } from "../../services/worker/outbound/exchange.ts";
import type { PrivateDestination } from "../../services/worker/outbound/private-destinations.ts";
import { keysOf } from "./credential-jobs.ts";
import { type Destination, startDestination } from "./destination.ts";
import { newDirectoryKey, startDirectoryServer } from "./directory.ts";
import { startIssuer, type TestIssuer } from "./tokens.ts";
import type { InternalVault } from "./vault.ts";
import { startWorkerProcess, type WorkerProcess, type WorkerSettings } from "./worker-process.ts";

/** A certificate by which one side knows the other, and its key. PEM. */
export interface Pair {
  certificate: string;
  key: string;
}

export const newCertificate = (name: string): Pair => {
  const { certificate, key } = selfSignedCertificate(name, 2);
  return { certificate, key: key.reveal() };
};

/** What came of a call. */
export interface UseResult {
  head?: AnswerHead;
  body: Buffer;
  /** Of the last frame: one of the two. */
  end?: AnswerEnd;
  failed?: CallFailed;
}

export interface UseOptions {
  claim?: string;
  token?: string;
  org?: string;
  method?: UseCall["request"]["method"];
  path?: string;
  headers?: [string, string][];
  body?: Uint8Array;
  /** Sends the body without its length. */
  chunked?: true;
  name?: string;
  value?: string;
  policy?: BrokerPolicy;
  material?: Material;
  version?: number;
  /** Over what the intake would write. */
  intent?: Partial<Intent>;
  /** Changes of the call. */
  call?: object;
  /** Without the frame `go`. */
  noGo?: true;
  /** The client's certificate; undefined for the intake's. */
  client?: Pair | "none";
  port?: number;
}

/** A real broker with all that it needs, and the intake's side of its connections. */
export interface BrokerStage {
  folder: string;
  internal: InternalVault;
  issuer: TestIssuer;
  destination: Destination;
  /** Ids by claim: `org_acme` and `org_globex`. */
  orgs: Record<string, string>;
  /** As the intake's login may use them: to seal. */
  keys: KeyProvider;
  broker: Pair;
  intake: Pair;
  port: number;
  /** The lines that the broker in this process has logged. */
  log: string[];
  agent: HttpsAgent;
  token(claim?: string, groups?: string[], changes?: object): string;
  policy(changes?: Partial<BrokerPolicy>): BrokerPolicy;
  seal(
    value: string,
    policy: BrokerPolicy,
    of?: { org?: string; name?: string; version?: number },
  ): Promise<Material>;
  call(options?: UseOptions): Promise<UseCall>;
  receipt(call: UseCall, changes?: Partial<Intent>): Receipt;
  /** Sends one use as the intake does, and reads its answer. Throws if the connection breaks. */
  use(options?: UseOptions): Promise<UseResult>;
  /** An open request of `POST /use`. */
  open(options?: { client?: Pair | "none"; port?: number }): ClientRequest;
  /** `POST` with JSON. */
  ask(operation: string, body: object): Promise<{ status: number; json: Record<string, unknown> }>;
  revoke(orgs: RevocationList["orgs"]): Promise<void>;
  /** Starts another broker, as a process under the flags of production. */
  startProcess(changes?: ProcessChanges): Promise<BrokerProcess>;
  stop(): Promise<void>;
}

export interface BrokerProcess extends WorkerProcess {
  port: number;
  /** The folder of its `jobs.sqlite` and `results.sqlite`. */
  queues: string;
}

export type ProcessChanges = Pick<WorkerSettings, "environment" | "nodeFlags">;

export interface BrokerStageOptions {
  changes?: Partial<UseParts>;
  exceptions?: PrivateDestination[];
}

export async function startBrokerStage(
  internal: InternalVault,
  { changes = {}, exceptions = [] }: BrokerStageOptions = {},
): Promise<BrokerStage> {
  const folder = await mkdtemp(join(tmpdir(), "strongroom-broker-"));
  const at = (name: string) => join(folder, name);
  const closers: (() => unknown)[] = [() => rm(folder, { recursive: true, force: true })];
  const issuer = await startIssuer();
  closers.push(issuer.close);
  const directoryKey = newDirectoryKey();
  const directoryServer = await startDirectoryServer(directoryKey);
  closers.push(directoryServer.close);
  const orgs: Record<string, string> = { org_acme: newOrgId(), org_globex: newOrgId() };
  await directoryServer.publish({
    ...{ version: 1, issuedAt: new Date().toISOString(), issuers: [issuer.issuer], deleted: [] },
    orgs: Object.entries(orgs).map(([claim, id]) => ({
      ...{ id, claim, issuer: issuer.issuer.issuer, address: "https://127.0.0.1:1" },
    })),
  });
  const destination = await startDestination(internal);
  closers.push(() => destination.down());
  const [broker, intake] = [newCertificate("broker.test"), newCertificate("intake.test")];
  await mkdir(at("published"), { mode: 0o700 });
  await writeFile(at("certificate.pem"), broker.certificate);
  await writeFile(at("key.pem"), broker.key, { mode: 0o600 });
  await writeFile(at("intakes.pem"), intake.certificate);
  await writeFile(at("directory-key.pem"), directoryKey.publicPem);
  await writeFile(at("ownership-key.pem"), directoryKey.ownershipPem);
  const settings = {
    STRONGROOM_LISTEN: "127.0.0.1:0",
    STRONGROOM_TLS_CERTIFICATE_FILE: at("certificate.pem"),
    STRONGROOM_TLS_KEY_FILE: at("key.pem"),
    STRONGROOM_INTAKE_CERTIFICATES_FILE: at("intakes.pem"),
    STRONGROOM_DIRECTORY_URL: directoryServer.url,
    STRONGROOM_DIRECTORY_KEY_FILE: at("directory-key.pem"),
    STRONGROOM_OWNERSHIP_KEY_FILE: at("ownership-key.pem"),
    STRONGROOM_DIRECTORY_COPY: at("published/directory.jws"),
    STRONGROOM_REVOCATIONS_URL: directoryServer.revocationsUrl,
    STRONGROOM_REVOCATIONS_COPY: at("published/revocations.jws"),
    STRONGROOM_MAX_TOKEN_LIFETIME_SECONDS: 3600,
  };
  const log: string[] = [];
  const allExceptions = [destination.exception, ...exceptions];
  const privateDestinations = new Map(allExceptions.map((each) => [each.origin, each]));
  const started = await startBroker(settings, {
    keys: keysOf(internal, "worker-broker", "broker"),
    ...{ privateDestinations, exchange: createExchange({ privateDestinations }) },
    logger: pino({ level: "debug" }, { write: (line: string) => void log.push(line) }),
    changes,
  });
  closers.push(() => started.stop(1_000));
  const agent = new HttpsAgent({ keepAlive: true });
  closers.push(() => agent.destroy());
  const keys = keysOf(internal, "intake", "broker");
  let revocationsVersion = 1;

  const open: BrokerStage["open"] = ({ client = intake, port = started.port } = {}) =>
    sendRequest({
      ...{ host: "127.0.0.1", port, method: "POST", path: "/use", rejectUnauthorized: false },
      ...(client !== "none" && { cert: client.certificate, key: client.key }),
      agent: client === intake ? agent : false,
    });

  const self: BrokerStage = {
    ...{
      folder,
      internal,
      issuer,
      destination,
      orgs,
      keys,
      broker,
      intake,
      port: started.port,
      log,
      agent,
      open,
    },
    token: (claim = "org_acme", groups = ["writer"], tokenChanges = {}) =>
      issuer.token({
        ...{ [issuer.issuer.orgClaim]: claim, [issuer.issuer.groupsClaim]: groups },
        ...tokenChanges,
      }),
    policy: (policyChanges = {}) => ({
      origin: destination.origin,
      inject: { header: "Authorization", format: "Bearer {}" },
      rules: [
        {
          ...{ id: "all", methods: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"], paths: ["/v1/**"] },
          ...{ query: ["q"], contentTypes: ["application/json", "text/plain"], who: { level: "writer" } },
        },
      ],
      ...policyChanges,
    }),
    async seal(value, policy, { org = orgs.org_acme ?? "", name = "stripe", version = 1 } = {}) {
      const context = { org, credential: name, version: String(version), purpose: "broker" as const };
      const envelope = await seal(
        keys,
        { ...context, policy: brokerPolicyHash(policy) },
        new TextEncoder().encode(value),
      );
      return { envelope: Buffer.from(envelope).toString("base64") };
    },
    async call(options = {}) {
      const { claim = "org_acme", name = "stripe", version = 1, body } = options;
      const { method = "GET", path = "/v1/charges", headers = [], value = "sk_live_tiger42" } = options;
      const org = options.org ?? orgs[claim] ?? "";
      const policy = options.policy ?? self.policy();
      const material = options.material ?? (await self.seal(value, policy, { org, name, version }));
      const length = body === undefined ? "none" : options.chunked ? "chunked" : { bytes: body.byteLength };
      return {
        ...{ id: randomUUID(), token: options.token ?? self.token(claim), org },
        credential: { name, version, policy, material },
        request: { method, path, headers, body: length },
        ...options.call,
      } as UseCall;
    },
    receipt({ id, credential, request, token }, intentChanges = {}) {
      const claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
      const groups: string[] = claims[issuer.issuer.groupsClaim] ?? [];
      const level = groups.includes("admin") ? "admin" : groups.includes("writer") ? "writer" : "reader";
      const intent: Intent = {
        ...{ id, action: "use", by: { issuer: claims.iss, subject: claims.sub, level } },
        ...{ credential: credential.name, version: credential.version },
        ...{ host: new URL(credential.policy.origin).host, method: request.method },
        ...{ pathPattern: "/v1/**", rule: "all" },
        ...intentChanges,
      };
      const entry = { type: "intent" as const, sequence: 1, at: new Date().toISOString(), ...intent };
      return { entry, hash: "A".repeat(43) };
    },
    async use(options = {}) {
      const call = await self.call(options);
      const request = open(options);
      request.write(jsonFrame("call", call));
      if (!options.noGo) {
        request.write(jsonFrame("go", { receipt: self.receipt(call, options.intent) }));
      }
      if (options.body) {
        for (const piece of dataFrames(options.body)) request.write(piece);
        request.write(jsonFrame("end", {}));
      }
      request.end();
      return await readAnswer(request);
    },
    async ask(operation, body) {
      const { promise, resolve, reject } = Promise.withResolvers<{
        status: number;
        json: Record<string, unknown>;
      }>();
      const asked = sendRequest(
        {
          ...{ host: "127.0.0.1", port: started.port, method: "POST", path: `/${operation}`, agent },
          ...{ rejectUnauthorized: false, cert: intake.certificate, key: intake.key },
        },
        async (response) => {
          const text = Buffer.concat(await response.toArray()).toString();
          resolve({ status: response.statusCode ?? 0, json: JSON.parse(text) });
        },
      );
      asked.on("error", reject).end(JSON.stringify(body));
      return promise;
    },
    async revoke(revoked) {
      const version = ++revocationsVersion;
      await directoryServer.publishRevocations({ version, maxTokenLifetimeSeconds: 3600, orgs: revoked });
    },
    async startProcess(processChanges = {}) {
      const own = await mkdtemp(join(folder, "process-"));
      const worker = await startWorkerProcess({
        ...{ kind: "broker", folder: own, exceptions: allExceptions, ...processChanges },
        login: { address: internal.endpoint.address, credentials: internal.logins["worker-broker"] },
        published: { directoryServer, folder },
        settings: {
          ...Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, String(value)])),
        },
      });
      closers.push(() => worker.kill("SIGKILL"));
      for (let waited = 0; waited < 1_000; waited++) {
        const line = worker.lines().find(({ msg }) => msg === "started");
        if (line) return { ...worker, port: line.port as number, queues: join(own, "queues") };
        if (worker.child.exitCode !== null) break;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      throw new Error(`the broker did not start:\n${worker.output()}`);
    },
    async stop() {
      for (const close of closers.splice(0).reverse()) await close();
    },
  };
  return self;
}

/** Reads the frames of an answer to their end. Throws if it breaks off. */
export async function readAnswer(
  request: ClientRequest,
  onData?: (chunk: Buffer) => void,
): Promise<UseResult> {
  const { promise, resolve, reject } = Promise.withResolvers<UseResult>();
  const result: UseResult = { body: Buffer.alloc(0) };
  const chunks: Buffer[] = [];
  const take = ({ type, payload }: Frame) => {
    if (type === "data") return onData ? onData(payload) : void chunks.push(Buffer.from(payload));
    const json = JSON.parse(payload.toString());
    if (type === "head") result.head = json;
    else if (type === "end") result.end = json;
    else result.failed = json;
  };
  request.on("error", reject);
  request.once("response", async (response: IncomingMessage) => {
    try {
      const parser = new FrameParser();
      for await (const chunk of response) for (const frame of parser.push(chunk as Buffer)) take(frame);
      parser.end();
      if (!result.end && !result.failed) throw new Error("the answer broke off");
      result.body = Buffer.concat(chunks);
      resolve(result);
    } catch (error) {
      reject(error as Error);
    }
  });
  return promise;
}

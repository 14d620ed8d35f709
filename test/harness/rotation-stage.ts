import { pino } from "pino";
import {
  type BrokerRecord,
  credentialKey,
  materialKey,
  type StoredMaterial,
} from "../../services/intake/credentials/records.ts";
import { pendingKey, retiringKey } from "../../services/intake/rotations/records.ts";
import { type BrokerPolicy, brokerPolicyHash } from "../../services/shared/broker/policy.ts";
import { open } from "../../services/shared/envelope/envelope.ts";
import type { KeyProvider } from "../../services/shared/envelope/key-provider.ts";
import { openQueues } from "../../services/shared/queue/open-queues.ts";
import { brokerWork } from "../../services/worker/broker.ts";
import { createDialPostgresql } from "../../services/worker/outbound/dial-postgresql.ts";
import { createExchange, type Exchange, type Outside } from "../../services/worker/outbound/exchange.ts";
import { Worker } from "../../services/worker/worker.ts";
import { type Answer, eventually, type IntakeStage, startIntakeStage, type TestIntake } from "./intake.ts";
import { startBrokerOf } from "./stage-broker.ts";

/** A stage with an intake and a worker of kind `broker`, whose parts a test may replace. */
export interface RotationStage {
  stage: IntakeStage;
  intake: TestIntake;
  /** Starts another worker on the same queues, with other ways to the provider and to its keys if given. */
  startWorker(changes?: {
    exchange?: (real: Exchange) => Exchange;
    keys?: (real: KeyProvider) => KeyProvider;
  }): Promise<{ stop(): Promise<void> }>;
  admin(method: string, path: string, body?: unknown): Promise<Answer>;
  /** Puts a credential of purpose `broker`. */
  put(name: string, value: string, destination: BrokerPolicy): Promise<Answer>;
  /** Starts a rotation; returns its id. Throws unless it is accepted. */
  start(name: string): Promise<string>;
  /** The run once it has ended. `skip`: seconds by which the clock goes ahead at each look. */
  ended(name: string, id: string, skip?: number): Promise<Answer["json"]>;
  /** The run once it is in a phase. */
  inPhase(name: string, id: string, phase: string): Promise<Answer["json"]>;
  /** The value that is stored, opened as a worker would. */
  stored(name: string): Promise<{ version: number; value: string }>;
  /** Values that wait to be used, or to be forgotten. */
  others(name: string): Promise<string[]>;
  close(): Promise<void>;
}

/** `ports`: of the destinations. */
export async function startRotationStage(outside: Outside, ports: number[] = []): Promise<RotationStage> {
  const stage = await startIntakeStage();
  const broker = await startBrokerOf(stage, outside);
  const intake = await stage.start({
    ...{ destinationPorts: new Set([443, ...ports]), broker: broker.client },
  });
  const workers: { stop(): Promise<void> }[] = [];
  const token = stage.token("admin");
  const { keys, store, acme } = stage;

  const startWorker: RotationStage["startWorker"] = async (changes = {}) => {
    const exchange = createExchange(outside);
    const work = brokerWork(
      changes.keys?.(keys.broker) ?? keys.broker,
      changes.exchange?.(exchange) ?? exchange,
      createDialPostgresql(outside),
    );
    const queues = await openQueues(`local:${stage.folder}/queues/broker`);
    const worker = new Worker({
      ...{ kind: "broker", work, ...queues, logger: pino({ level: "silent" }) },
      ...{ concurrency: 8, visibilitySeconds: 2, maxJobs: 100_000 },
    });
    worker.start();
    let isStopped = false;
    const started = {
      async stop() {
        if (isStopped) return;
        isStopped = true;
        await worker.stop(0);
        await Promise.all([queues.jobs.close(), queues.results.close()]);
      },
    };
    workers.push(started);
    return started;
  };
  const admin: RotationStage["admin"] = (method, path, body) =>
    self.intake.call(method, `/v1/credentials/${path}`, { token, ...(body !== undefined && { body }) });
  const self: RotationStage = {
    ...{ stage, intake, startWorker, admin },
    put: (name, value, destination) => admin("PUT", name, { value, purpose: "broker", destination }),
    async start(name) {
      const { status, json, text } = await admin("POST", `${name}/rotation/start`);
      if (status !== 202) throw new Error(`not started: ${text}`);
      return json.id;
    },
    async ended(name, id, skip = 0) {
      let run: Answer["json"];
      await eventually(async () => {
        stage.clock.skip(skip);
        run = (await admin("GET", `${name}/rotation/runs/${id}`)).json;
        return run.endedAt;
      }).toBeTruthy();
      return run;
    },
    async inPhase(name, id, phase) {
      let run: Answer["json"];
      await eventually(async () => {
        run = (await admin("GET", `${name}/rotation/runs/${id}`)).json;
        return run.phase;
      }).toBe(phase);
      return run;
    },
    async stored(name) {
      const record = await store.get<BrokerRecord>(credentialKey(acme, name));
      const material = await store.get<StoredMaterial>(materialKey(acme, name));
      if (!record || !material || !("envelope" in material.body.material)) throw new Error("none is stored");
      const { version } = material.body;
      if (record.body.version !== version) throw new Error("record and value differ");
      const context = {
        ...{ org: acme, credential: name, version: String(version), purpose: "broker" as const },
        policy: brokerPolicyHash(record.body.destination),
      };
      const bytes = await open(keys.broker, context, Buffer.from(material.body.material.envelope, "base64"));
      return { version, value: Buffer.from(bytes).toString("utf8") };
    },
    async others(name) {
      const found = await Promise.all([pendingKey(acme, name), retiringKey(acme, name)].map(store.get));
      return found.flatMap((item) => (item ? [item.partition] : []));
    },
    async close() {
      await Promise.all(workers.map((each) => each.stop()));
      await stage.close();
      await broker.stop();
    },
  };
  return self;
}

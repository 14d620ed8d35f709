import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { selfSignedCertificate } from "../../services/cli/platform/self-signed-certificate.ts";
import { createBrokerClient } from "../../services/intake/broker/client.ts";
import {
  type BrokerRecord,
  credentialKey,
  materialKey,
  type StoredMaterial,
} from "../../services/intake/credentials/records.ts";
import type { Intake } from "../../services/intake/dependencies.ts";
import { JobWatch } from "../../services/intake/jobs/watch.ts";
import { begin } from "../../services/intake/rotations/advance.ts";
import {
  pendingKey,
  type RotationRecord,
  type RunRecord,
  retiringKey,
  rotationKey,
  runsPartition,
} from "../../services/intake/rotations/records.ts";
import { sqliteStore } from "../../services/intake/store/sqlite.ts";
import type { Store, Write } from "../../services/intake/store/store.ts";
import { createWork } from "../../services/intake/work.ts";
import { type BrokerPolicy, brokerPolicyHash } from "../../services/shared/broker/policy.ts";
import { open, seal } from "../../services/shared/envelope/envelope.ts";
import { newOrgId } from "../../services/shared/org.ts";
import { embeddedQueue } from "../../services/shared/queue/embedded.ts";
import type { Queue } from "../../services/shared/queue/queue.ts";
import { brokerWork } from "../../services/worker/broker.ts";
import type { DialPostgresql } from "../../services/worker/outbound/dial-postgresql.ts";
import { createDialPostgresql } from "../../services/worker/outbound/dial-postgresql.ts";
import { createExchange, type Outside } from "../../services/worker/outbound/exchange.ts";
import { Worker } from "../../services/worker/worker.ts";
import { memoryKeyProvider } from "../harness/key-provider.ts";
import { memorySigner } from "../harness/signer.ts";
import { Life, mortalExchange, mortalKeys, mortalQueue, mortalStore } from "./mortal.ts";

/** Of the old key beside the new one, by the system's clock. */
const GRACE_MS = 500;
const WITHIN_MS = 60_000;
const NAME = "admin";

/** What a credential is rotated at. */
export interface Provider {
  policy: BrokerPolicy;
  /** The value that is put. */
  first: string;
  outside: Outside;
  /** Whether a value works now. */
  works(value: string): Promise<boolean>;
  /** Throws unless this value's key is the only one. */
  expectOnly(value: string): Promise<void>;
  /** Whether the stored value works at every moment. */
  hasGrace: boolean;
  /** The world's clock is so many times as fast, since waits are part of a rotation: 20 unless the provider has a clock. */
  speed?: number;
}

/** Who dies where; in this order, once each. */
export interface Kill {
  who: "intake" | "worker";
  at: string;
}

export interface Rotated {
  /** The points that were passed, in the order of their first time. */
  points: Kill[];
  /** Kills whose point was reached. */
  killed: number;
  runs: RunRecord[];
  /** Times at which the stored value did not work. */
  failedUses: number;
  uses: number;
}

/** Rotates one credential until a run succeeds, while processes die as told. */
export async function rotateWithKills(provider: Provider, kills: Kill[]): Promise<Rotated> {
  const folder = await mkdtemp(join(tmpdir(), "strongroom-rotation-"));
  const began = Date.now();
  const { speed = 20 } = provider;
  const now = () => began + (Date.now() - began) * speed;
  const org = newOrgId();
  const keys = memoryKeyProvider("broker");
  const store = await sqliteStore(join(folder, "store.sqlite"), { now });
  const file = (name: string) => join(folder, "queues", `${name}.sqlite`);
  await mkdir(join(folder, "queues"));
  const points = new Map<string, Kill>();
  const left = [...kills];
  let killed = 0;
  let isEnding = false;
  const closing: Promise<unknown>[] = [];

  const context = (version: number) => ({
    ...{ org, credential: NAME, version: String(version), purpose: "broker" as const },
    policy: brokerPolicyHash(provider.policy),
  });
  const stored = async (): Promise<{ version: number; value: string }> => {
    const found = await store.get<StoredMaterial>(materialKey(org, NAME));
    if (!found || !("envelope" in found.body.material)) throw new Error("nothing is stored");
    const { version, material } = found.body;
    const bytes = await open(keys, context(version), Buffer.from(material.envelope, "base64"));
    return { version, value: Buffer.from(bytes).toString("utf8") };
  };
  await putFirst(store, org, provider, async (value) => {
    const envelope = await seal(keys, context(1), new TextEncoder().encode(value));
    return Buffer.from(envelope).toString("base64");
  });

  /** One life after another; each ends as the next kill for it says. */
  const live = async (who: Kill["who"], start: (life: Life) => Promise<() => Promise<void>>) => {
    while (!isEnding) {
      const index = left.findIndex((kill) => kill.who === who);
      const [kill] = index < 0 ? [] : left.splice(index, 1);
      const life = new Life(kill?.at, (at) => points.set(`${who} ${at}`, { who, at }));
      const stop = await start(life);
      await Promise.race([life.died, ended]);
      if (life.isOver) killed++;
      closing.push(stop());
    }
  };
  const endedBy = Promise.withResolvers<void>();
  const ended = endedBy.promise;

  const startIntake = async (life: Life) => {
    const queues = [await embeddedQueue(file("jobs")), await embeddedQueue(file("results"))] as const;
    const none: Queue = {
      send: async () => {},
      consume: () => ({ stop: async () => {} }),
      close: async () => {},
    };
    const idle = { jobs: none, results: none };
    const broker = {
      jobs: mortalQueue(life, queues[0], "job"),
      results: mortalQueue(life, queues[1], "result"),
    };
    const intake: Intake = {
      store: mortalStore(life, store, nameOf),
      keys: { integration: keys, webhook: keys, broker: keys },
      receiptsSigner: memorySigner(),
      queues: { integration: idle, webhook: idle, feed: idle, broker },
      broker: createBrokerClient({
        ...{ url: "https://127.0.0.1:1", pins: new Set() },
        client: selfSignedCertificate("intake", 1),
      }),
      uses: { ofOrg: 1, ofCredential: 1, mostBodyBytes: 1 },
      ...{ destinationPorts: new Set([443]), watch: new JobWatch(), log: pino({ level: "silent" }), now },
    };
    const work = createWork(intake, 10);
    work.start();
    return async () => {
      await work.stop();
      await Promise.all(queues.map((queue) => queue.close()));
    };
  };
  const startWorker = async (life: Life) => {
    const queues = [await embeddedQueue(file("jobs")), await embeddedQueue(file("results"))] as const;
    const exchange = mortalExchange(life, createExchange(provider.outside));
    const dial = createDialPostgresql(provider.outside);
    const mortalDial: DialPostgresql = async (server, signal) => {
      const socket = await life.around("dials", () => dial(server, signal));
      socket.on("data", () => {
        if (life.isOver) socket.destroy();
      });
      return socket;
    };
    const worker = new Worker({
      ...{ kind: "broker", work: brokerWork(mortalKeys(life, keys), exchange, mortalDial) },
      jobs: mortalQueue(life, queues[0], "job"),
      results: mortalQueue(life, queues[1], "result"),
      ...{ logger: pino({ level: "silent" }), concurrency: 4, visibilitySeconds: 2, maxJobs: 100_000, now },
      onStep: (step) => life.reach(step),
    });
    worker.start();
    return async () => {
      await worker.stop(0);
      await Promise.all(queues.map((queue) => queue.close()));
    };
  };

  const lives = [live("intake", startIntake), live("worker", startWorker)];
  let [uses, failedUses] = [0, 0];
  const user = (async () => {
    while (!isEnding) {
      const { value } = await stored();
      uses++;
      if (!(await provider.works(value))) failedUses++;
      await sleep(15);
    }
  })();
  try {
    const runs = await runUntilSuccess(store, org, now, () => isEnding);
    // Late receipts, results that come twice: nothing of it may change what is there.
    await sleep(100);
    const { version, value } = await stored();
    const record = await store.get<BrokerRecord>(credentialKey(org, NAME));
    if (record?.body.version !== version) throw new Error("the record and the value are of two versions");
    for (const key of [pendingKey(org, NAME), retiringKey(org, NAME)]) {
      if (await store.get(key)) throw new Error(`${key.partition} is left`);
    }
    if (value === provider.first) throw new Error("the value was not replaced");
    await provider.expectOnly(value);
    return { points: [...points.values()], killed, runs, uses, failedUses };
  } finally {
    isEnding = true;
    endedBy.resolve();
    await Promise.allSettled([...lives, user]);
    await Promise.allSettled(closing);
    await store.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function putFirst(
  store: Store,
  org: string,
  { policy, first, speed = 20 }: Provider,
  sealed: (value: string) => Promise<string>,
): Promise<void> {
  const at = new Date().toISOString();
  const record: BrokerRecord = {
    ...{ name: NAME, version: 1, purpose: "broker", destination: policy, disabled: false },
    ...{ versions: [{ version: 1, createdAt: at, sealedBy: "platform" }], createdAt: at, updatedAt: at },
  };
  const material: StoredMaterial = { version: 1, material: { envelope: await sealed(first) } };
  const rotation: RotationRecord = {
    ...{
      name: NAME,
      everySeconds: 86_400,
      graceSeconds: Math.ceil((GRACE_MS * speed) / 1000),
      enabled: false,
      version: 1,
      surplus: [],
    },
    ...{ createdAt: at, updatedAt: at },
  };
  await store.write([
    { ...credentialKey(org, NAME), body: record },
    { ...materialKey(org, NAME), body: material },
    { ...rotationKey(org, NAME), body: rotation },
  ]);
}

/** Starts runs until one succeeds, as an operator would, past the intakes that die. */
async function runUntilSuccess(
  store: Store,
  org: string,
  now: () => number,
  isEnding: () => boolean,
): Promise<RunRecord[]> {
  const intake = { store, now } as Intake;
  const until = Date.now() + WITHIN_MS;
  for (;;) {
    const rotation = await store.get<RotationRecord>(rotationKey(org, NAME));
    const runs = await store.query<RunRecord>(runsPartition(org, NAME));
    if (!rotation?.body.run) {
      if (runs.at(-1)?.body.state === "succeeded") return runs.map(({ body }) => body);
      if (!rotation) throw new Error("the rotation is gone");
      await begin({ intake }, org, rotation, { schedule: NAME });
    }
    if (Date.now() > until || isEnding()) {
      throw new Error(
        `no run has succeeded: ${JSON.stringify([rotation?.body, runs.map(({ body }) => body)])}`,
      );
    }
    await sleep(10);
  }
}

/** What a write of the intake does, as far as rotations are concerned. */
function nameOf(writes: Write[]): string {
  const bodies = writes.flatMap((write) => ("body" in write ? [write] : []));
  const rotation = bodies.find(({ partition }) => partition.endsWith("/rotations"));
  if (!rotation) return bodies.some(({ partition }) => /receipts/.test(partition)) ? "receipts" : "other";
  const { run } = rotation.body as RotationRecord;
  if (!run) return "run ended";
  return `${run.phase} ${run.job ? "sent" : run.completion ? "reported" : "stored"}`;
}

import { DatabaseSync } from "node:sqlite";
import type { EncryptionContext } from "../../services/shared/envelope/context.ts";
import { seal } from "../../services/shared/envelope/envelope.ts";
import type { KeyProvider } from "../../services/shared/envelope/key-provider.ts";
import { openQueues, type Queues } from "../../services/shared/queue/open-queues.ts";
import { type DestinationPolicy, policyHash } from "../../services/shared/work/destination.ts";
import { KINDS, type Kind, type Purpose } from "../../services/shared/work/kinds.ts";
import type {
  DestinationRequest,
  IntegrationMessage,
  Material,
  Outcome,
  ResultMessage,
  WebhookMessage,
} from "../../services/shared/work/messages.ts";
import { keysOf, newJobId } from "./credential-jobs.ts";
import type { CredentialPlatform } from "./credentials.ts";

/** A stored credential as hostile code finds it: all but the value. */
export interface Stolen {
  org: string;
  credential: string;
  version: number;
  policy: DestinationPolicy;
  material: Material;
}

export type UseMessage = Extract<IntegrationMessage, { type: "request" }>;

/** The intake's store, read as bytes on the disk are: without the intake. */
export function readStore(
  file: string,
): { partition: string; sort: string; body: Record<string, unknown> }[] {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    return database
      .prepare(`SELECT "partition", sort, body FROM items`)
      .all()
      .map(({ partition, sort, body }) => ({
        ...{ partition: String(partition), sort: String(sort), body: JSON.parse(String(body)) },
      }));
  } finally {
    database.close();
  }
}

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
const WAIT_MS = 30_000;

/**
 * Hostile code in the intake's place, when the intake is no more: with its login at the internal Vault, its store, and
 * both ends of each queue that are the intake's. It composes messages as it likes, and takes the results.
 */
export class Thief {
  readonly platform: CredentialPlatform;
  readonly keys: Record<Purpose, KeyProvider>;
  readonly queues = new Map<Kind, Queues>();
  /** All results that came. */
  readonly results: ResultMessage[] = [];
  readonly #waiting = new Map<string, (outcome: Outcome) => void>();

  private constructor(platform: CredentialPlatform) {
    const { internal } = platform;
    this.platform = platform;
    this.keys = {
      integration: keysOf(internal, "intake", "integration"),
      webhook: keysOf(internal, "intake", "webhook"),
      broker: keysOf(internal, "intake", "broker"),
    };
  }

  static async takeOver(platform: CredentialPlatform): Promise<Thief> {
    await platform.intake.kill();
    const thief = new Thief(platform);
    for (const kind of KINDS) {
      const queues = await openQueues(`local:${platform.queues(kind)}`);
      thief.queues.set(kind, queues);
      queues.results.consume({ concurrency: 4, visibilitySeconds: 30, maxReceives: 5 }, async ({ body }) => {
        const result = JSON.parse(body) as ResultMessage;
        thief.results.push(result);
        thief.#waiting.get(result.job)?.(result.outcome);
        return { done: true };
      });
    }
    return thief;
  }

  async close(): Promise<void> {
    for (const { jobs, results } of this.queues.values()) await Promise.all([jobs.close(), results.close()]);
  }

  queuesOf(kind: Kind): Queues {
    const queues = this.queues.get(kind);
    if (!queues) throw new Error(`there are no queues of kind ${kind}`);
    return queues;
  }

  /** Sends a message to a kind's workers. Returns what its result says. */
  async send(kind: Kind, message: { job: string } & Record<string, unknown>): Promise<Outcome> {
    const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
    const timer = setTimeout(() => reject(new Error("no result came")), WAIT_MS);
    this.#waiting.set(message.job, resolve);
    try {
      await this.sendText(kind, JSON.stringify(message));
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(message.job);
    }
  }

  sendText(kind: Kind, body: string): Promise<void> {
    return this.queuesOf(kind).jobs.send({ body, group: "thief" });
  }

  /** Seals anything for any context, as the intake's login allows. */
  async seal(purpose: Purpose, context: EncryptionContext, plaintext: string | Uint8Array): Promise<string> {
    const bytes = typeof plaintext === "string" ? new TextEncoder().encode(plaintext) : plaintext;
    return base64(await seal(this.keys[purpose], context, bytes));
  }

  context(
    { org, credential, version, policy }: Omit<Stolen, "material">,
    purpose: Purpose = "integration",
  ): EncryptionContext {
    return { org, credential, version: String(version), purpose, policy: policyHash(policy) };
  }

  /** The message of a use that the intake could ask for, with a request that fits what the message says. */
  async use(
    stolen: Stolen,
    request: Partial<DestinationRequest> | object = {},
    changes: Partial<UseMessage> = {},
  ): Promise<UseMessage> {
    const job = changes.job ?? newJobId();
    const asked = { method: "GET", path: "/v1/charges", ...request };
    const context = { ...this.context(stolen), job };
    return {
      ...{ type: "request", job, attempt: 1, notAfter: Math.floor(Date.now() / 1000) + 300 },
      ...stolen,
      request: await this.seal("integration", context, JSON.stringify(asked)),
      ...changes,
    };
  }

  /** The same of a webhook's delivery. */
  async delivery(stolen: Stolen, changes: Partial<WebhookMessage> = {}): Promise<WebhookMessage> {
    const { org, credential, version, policy, material } = stolen;
    const job = newJobId();
    const request = { method: "POST", path: policy.paths[0], body: base64(Buffer.from("{}")) };
    const context = { ...this.context(stolen, "webhook"), job };
    return {
      ...{ type: "deliver", job, attempt: 1, notAfter: Math.floor(Date.now() / 1000) + 300 },
      ...{ org, credential, policy, secrets: [{ version, material }], webhookId: "msg_thief" },
      request: await this.seal("webhook", context, JSON.stringify(request)),
      ...changes,
    };
  }
}

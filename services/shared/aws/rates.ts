import { setTimeout as sleep } from "node:timers/promises";

/** Number of calls in a burst, and per second after it. */
export interface Rate {
  burst: number;
  perSecond: number;
}

/**
 * The rates that AWS grants an account in a Region, by kinds of calls. ECS publishes its own
 * ("Request throttling for the Amazon ECS API"), SSM, DynamoDB and CloudWatch Logs theirs among their quotas;
 * IAM and Cloud Map publish none, so theirs is a careful guess.
 */
export const RATES = {
  "ecs-task-definition": { burst: 20, perSecond: 1 },
  "ecs-service": { burst: 50, perSecond: 5 },
  "ecs-read": { burst: 100, perSecond: 20 },
  iam: { burst: 20, perSecond: 10 },
  "dynamodb-tag": { burst: 5, perSecond: 5 },
  "dynamodb-read-tags": { burst: 10, perSecond: 10 },
  "cloud-map": { burst: 10, perSecond: 5 },
  logs: { burst: 10, perSecond: 5 },
  "ssm-write": { burst: 10, perSecond: 3 },
  "ssm-read": { burst: 40, perSecond: 40 },
} as const satisfies Record<string, Rate>;
export type RateName = keyof typeof RATES;

/** The share of a rate that one caller uses: others in the account, and retries, need the rest. */
const SHARE = 0.8;

/** Limits callers to a rate, in order of their calls. */
export class GcraQueue {
  readonly #rate: Rate;
  readonly #now: () => number;
  /** The time, in ms, at which the bucket is full again if nothing more is taken. */
  #fullAt = Number.NEGATIVE_INFINITY;

  constructor(rate: Rate, now: () => number = () => performance.now()) {
    this.#rate = rate;
    this.#now = now;
  }

  /** Takes one token. Returns the ms that the caller must wait before its call. */
  take(): number {
    const { burst, perSecond } = this.#rate;
    const now = this.#now();
    this.#fullAt = Math.max(this.#fullAt, now) + 1000 / perSecond;
    return Math.max(0, this.#fullAt - now - (burst * 1000) / perSecond);
  }
}

/** The rate that an operation counts against; undefined if none matters here. */
export function rateOf(client: string, operation: string): RateName | undefined {
  if (client === "ECS") {
    if (/^(Register|Deregister)TaskDefinition$/.test(operation)) return "ecs-task-definition";
    return /^(Create|Update|Delete)Service$/.test(operation) ? "ecs-service" : "ecs-read";
  }
  if (client === "SSM") return /^Get/.test(operation) ? "ssm-read" : "ssm-write";
  if (client === "DynamoDB") {
    // Its limits of the other operations used here are in the thousands.
    if (operation === "TagResource") return "dynamodb-tag";
    return operation === "ListTagsOfResource" ? "dynamodb-read-tags" : undefined;
  }
  const others: Record<string, RateName> = {
    IAM: "iam",
    ServiceDiscovery: "cloud-map",
    "CloudWatch Logs": "logs",
  };
  return others[client];
}

/** Delays each attempt of each call until its rate allows it. */
export class RateLimits {
  readonly #buckets: Record<RateName, GcraQueue>;

  constructor(rates: Record<RateName, Rate> = RATES) {
    const buckets = Object.entries(rates).map(([name, { burst, perSecond }]) => [
      name,
      new GcraQueue({ burst: Math.max(1, Math.floor(burst * SHARE)), perSecond: perSecond * SHARE }),
    ]);
    this.#buckets = Object.fromEntries(buckets);
  }

  /** Applies the rates to an SDK client. */
  limit<T extends LimitedClient>(client: string, sdk: T): T {
    sdk.middlewareStack.add(
      // biome-ignore lint/suspicious/noExplicitAny: the SDK's middleware is typed by each client's own inputs
      (next: any, context: { commandName?: string }) => async (args: unknown) => {
        const rate = rateOf(client, (context.commandName ?? "").replace(/Command$/, ""));
        const wait = rate ? this.#buckets[rate].take() : 0;
        if (wait > 0) await sleep(wait);
        return next(args);
      },
      // Inside the SDK's retries, so that each attempt counts.
      { step: "finalizeRequest", name: "rateLimit", priority: "low" },
    );
    return sdk;
  }
}

interface LimitedClient {
  // biome-ignore lint/suspicious/noExplicitAny: as above
  middlewareStack: { add(middleware: any, options: any): void };
}

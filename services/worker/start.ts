import type { Logger } from "pino";
import { keyProviders } from "../shared/envelope/key-settings.ts";
import { openQueues } from "../shared/queue/open-queues.ts";
import type { Listener } from "./broker/listener.ts";
import { type Config, isBroker } from "./config.ts";
import { createExchange } from "./outbound/exchange.ts";
import { type PrivateDestinations, readPrivateDestinations } from "./outbound/private-destinations.ts";
import type { Step, Work } from "./work.ts";
import { Worker } from "./worker.ts";

/** Jobs in hand may end; a request has at most 30 seconds. */
const GRACE_MS = 35_000;

export interface RunningWorker {
  /** Resolves when the worker has handled as many jobs as it may. */
  ended: Promise<void>;
  /** Of its listener, if it has one. */
  port: number | undefined;
  /** Lets the jobs in hand end, takes no more, and closes the queues. */
  stop(): Promise<void>;
}

/** Starts a worker by its settings. Throws ConfigError. */
export async function startWorker(
  config: Config,
  logger: Logger,
  onStep?: (step: Step) => void,
): Promise<RunningWorker> {
  const privateDestinations = readPrivateDestinations(config.STRONGROOM_PRIVATE_DESTINATIONS_FILE);
  const { work, listener } = await partsOf(config, privateDestinations, logger);
  const { jobs, results } = await openQueues(config.STRONGROOM_QUEUES, awsOf(config));
  const worker = new Worker({
    ...{ kind: config.STRONGROOM_KIND, work, jobs, results, logger },
    concurrency: config.STRONGROOM_CONCURRENCY,
    visibilitySeconds: config.STRONGROOM_VISIBILITY_SECONDS,
    maxJobs: config.STRONGROOM_MAX_JOBS,
    ...(onStep && { onStep }),
  });
  worker.start();
  return {
    ended: worker.ended,
    port: listener?.port,
    stop: async () => {
      await Promise.all([worker.stop(GRACE_MS), listener?.stop(GRACE_MS)]);
      await Promise.all([jobs.close(), results.close()]);
    },
  };
}

/** What a kind of worker does, and the listener of the one kind that has one. */
interface KindParts {
  work: Work;
  listener?: Listener;
}

/** Loads the code of one kind alone: a feed worker has no code that opens anything, others none that parses feeds. */
async function partsOf(
  config: Config,
  privateDestinations: PrivateDestinations,
  logger: Logger,
): Promise<KindParts> {
  const exchange = createExchange({ privateDestinations });
  const { STRONGROOM_KIND: kind, STRONGROOM_KEY: key } = config;
  if (kind === "feed" || key === undefined) {
    const { feedWork } = await import("./feed.ts");
    return { work: feedWork(exchange) };
  }
  const keys = await keyProviders(config)(key);
  if (kind === "integration") {
    const { integrationWork } = await import("./integration.ts");
    return { work: integrationWork(keys, exchange) };
  }
  if (isBroker(config)) {
    const [{ brokerWork }, { startBroker }, { createDialPostgresql }] = await Promise.all([
      import("./broker.ts"),
      import("./broker/start.ts"),
      import("./outbound/dial-postgresql.ts"),
    ]);
    return {
      work: brokerWork(keys, exchange, createDialPostgresql({ privateDestinations })),
      listener: await startBroker(config, { keys, exchange, privateDestinations, logger }),
    };
  }
  const { webhookWork } = await import("./webhook.ts");
  return { work: webhookWork(keys, exchange) };
}

const awsOf = ({ STRONGROOM_AWS_REGION: region }: Config) => (region === undefined ? {} : { region });

/**
 * The worker: the only part that opens credentials. It takes a job from its queue, opens what the job carries by its
 * own key, sends one request to the destination that the credential was sealed for, removes the credential from the
 * answer, sends the result, and forgets everything. It stores nothing. Kind `broker` alone listens, and keeps access
 * tokens in memory.
 *
 * One program, four kinds, each with a login, a key and a pair of queues of its own: `integration.ts`, `webhook.ts`,
 * `feed.ts`, which has no key, and `broker.ts`, which also answers the intake's calls at once: see `broker/start.ts`.
 * `worker.ts` is what they share, from a message to its result; `outbound/` is the only place that connects to a
 * destination; `scrub/` removes secrets from answers.
 *
 * It is started under Node's permission model and with no environment but its settings: see
 * services/cli/platform/worker-flags.ts.
 */
import { run } from "../shared/http/serve.ts";
import { createLogger } from "../shared/log.ts";
import { readSettings, usesAws } from "./config.ts";
import { startWorker } from "./start.ts";

await run(async () => {
  const config = readSettings(process.env);
  const isKept = (name: string) => usesAws(config) && name.startsWith("AWS_");
  for (const name of Object.keys(process.env)) if (!isKept(name)) delete process.env[name];

  const logger = createLogger(`worker-${config.STRONGROOM_KIND}`, config.STRONGROOM_LOG_LEVEL);
  const worker = await startWorker(config, logger);
  const { port } = worker;
  const permissionModel = process.permission !== undefined;
  logger.info({ kind: config.STRONGROOM_KIND, permissionModel, port }, "started");

  let isStopping = false;
  const stop = () => {
    if (isStopping) return;
    isStopping = true;
    worker.stop().then(
      () => process.exit(0),
      (error: Error) => {
        logger.error({ error: error.name }, "cannot stop");
        process.exit(1);
      },
    );
  };
  process.once("SIGTERM", stop).once("SIGINT", stop);
  void worker.ended.then(stop);
});

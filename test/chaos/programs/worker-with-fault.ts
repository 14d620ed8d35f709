import { run } from "../../../services/shared/http/serve.ts";
import { createLogger } from "../../../services/shared/log.ts";
import { readSettings } from "../../../services/worker/config.ts";
import { startWorker } from "../../../services/worker/start.ts";

/** A worker as it is, but that it dies by SIGKILL as soon as a job has come to the step in its first argument. */
const [, , fault] = process.argv;

await run(async () => {
  const config = readSettings(process.env);
  const logger = createLogger(`worker-${config.STRONGROOM_KIND}`, config.STRONGROOM_LOG_LEVEL);
  await startWorker(config, logger, (step) => {
    if (step === fault) process.kill(process.pid, "SIGKILL");
  });
  logger.info("started");
});

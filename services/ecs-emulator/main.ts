/**
 * What ECS does, for tests and the compose demo; in no production image. An AWS emulator beside it (Moto) keeps
 * clusters, services and task definitions and starts nothing. This service reads them there, runs each service's
 * tasks as processes of this machine by ECS's rules (`scheduler.ts`, `task.ts`), and answers the part of the ECS
 * API that speaks of tasks (`endpoint.ts`); everything else it passes on to the emulator.
 *
 * It holds the emulator's credentials, which open nothing anywhere. Begin reading at `cluster.ts`.
 */
import { readConfig } from "../shared/config.ts";
import { run } from "../shared/http/serve.ts";
import { createLogger } from "../shared/log.ts";
import { Config } from "./config.ts";
import { startEcs } from "./start.ts";

await run(async () => {
  const config = readConfig(process.env, Config);
  const logger = createLogger("ecs-emulator", config.STRONGROOM_LOG_LEVEL);
  const [host = "", port] = config.STRONGROOM_LISTEN.split(":");
  const emulator = await startEcs(
    {
      cluster: config.STRONGROOM_ECS_CLUSTER,
      region: config.STRONGROOM_ECS_REGION,
      emulator: config.STRONGROOM_AWS_EMULATOR,
      listen: { host, port: Number(port) },
    },
    { folder: config.STRONGROOM_TASKS_DIR, vaultBinary: config.STRONGROOM_VAULT_BIN, logger },
  );

  const close = () => {
    emulator.close().then(
      () => process.exit(0),
      (error) => {
        logger.error({ err: error }, "cannot stop a task");
        process.exit(1);
      },
    );
  };
  process.once("SIGTERM", close).once("SIGINT", close);
});

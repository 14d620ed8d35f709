import type { Logger } from "pino";
import { readConfig } from "../shared/config.ts";
import { run } from "../shared/http/serve.ts";
import { createLogger } from "../shared/log.ts";
import { parameterStore } from "../shared/parameters/settings.ts";
import { Agent } from "./agent.ts";
import { Config, ecsSettings } from "./config.ts";

await run(async () => {
  const config = readConfig(process.env, Config);
  const logger = createLogger("agent", config.STRONGROOM_LOG_LEVEL);
  const agent = await start(config, logger);

  const close = () => {
    agent.close().then(
      () => process.exit(0),
      (error) => {
        logger.error({ err: error }, "an instance could not be stopped");
        process.exit(1);
      },
    );
  };
  process.once("SIGTERM", close).once("SIGINT", close);
});

/** The agent by its settings, at work. */
async function start(config: Config, logger: Logger): Promise<{ close(): Promise<void> }> {
  const { STRONGROOM_INSTANCES_DIR: instances, STRONGROOM_VAULT_BIN: vaultBinary } = config;
  const ecs = ecsSettings(config);
  if (ecs) {
    // Loading the AWS SDK takes longer than all else at a service's start.
    const { startEcs } = await import("../ecs-emulator/start.ts");
    return startEcs(ecs, { folder: instances, vaultBinary, logger });
  }
  const agent = new Agent({
    instances,
    vaultBinary,
    parameters: await parameterStore(config),
    logger,
    auditLimits: { bytes: config.STRONGROOM_AUDIT_MAX_BYTES, keep: config.STRONGROOM_AUDIT_KEEP },
    lowDiskBytes: config.STRONGROOM_LOW_DISK_BYTES,
  });
  await agent.start();
  return agent;
}

import { readConfig } from "../shared/config.ts";
import { run } from "../shared/http/serve.ts";
import { createLogger } from "../shared/log.ts";
import { parameterStore } from "../shared/parameters/parameter-settings.ts";
import { Agent } from "./agent.ts";
import { Config } from "./config.ts";

await run(async () => {
  const config = readConfig(process.env, Config);
  const logger = createLogger("agent", config.STRONGROOM_LOG_LEVEL);
  const agent = new Agent({
    instances: config.STRONGROOM_INSTANCES_DIR,
    vaultBinary: config.STRONGROOM_VAULT_BIN,
    parameters: await parameterStore(config),
    logger,
    auditLimits: { bytes: config.STRONGROOM_AUDIT_MAX_BYTES, keep: config.STRONGROOM_AUDIT_KEEP },
    lowDiskBytes: config.STRONGROOM_LOW_DISK_BYTES,
  });
  await agent.start();

  const close = () => {
    agent.close().then(
      () => process.exit(0),
      (error) => {
        logger.error({ err: error }, "cannot stop an instance");
        process.exit(1);
      },
    );
  };
  process.once("SIGTERM", close).once("SIGINT", close);
});

/**
 * The agent: on one machine what ECS is on AWS. It reads the instance specs that the control plane publishes in a
 * folder, starts each organization's Vault by its spec, starts it again when it ends, and reports how it is. It
 * listens nowhere.
 *
 * It holds the secrets that the specs name (unseal tokens, certificates and keys): it reads them from the parameter
 * store and hands them to that Vault alone. It never sees a token of a member or an operator, and never starts a
 * Vault on storage that was set aside.
 *
 * Begin reading at `agent.ts`, which follows the specs. `instance.ts` is one organization's Vault from spec to process,
 * `vault-process.ts` its process, `storage.ts` the storage that it may use, `health.ts` how it is, `upkeep.ts` its
 * audit logs.
 */
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

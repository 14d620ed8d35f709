import { destination } from "pino";
import { readConfig } from "../shared/config.ts";
import { DirectorySource } from "../shared/directory/load.ts";
import { run, serve } from "../shared/http/serve.ts";
import { createLogger } from "../shared/log.ts";
import { buildGateway } from "./app.ts";
import { Config, limitRates, readCertificate, readDirectoryKey } from "./config.ts";
import { buildMetricsServer, Metrics } from "./metrics.ts";

await run(async () => {
  const config = readConfig(process.env, Config);
  // A line a request, so they are written together; what Vault audits is not delayed.
  const stdout = destination({ dest: 1, sync: false, minLength: 8 * 1024, periodicFlush: 100 });
  const logger = createLogger("gateway", config.STRONGROOM_LOG_LEVEL, stdout);
  const directory = new DirectorySource({
    url: config.STRONGROOM_DIRECTORY_URL,
    key: readDirectoryKey(config.STRONGROOM_DIRECTORY_KEY_FILE),
    copy: config.STRONGROOM_DIRECTORY_COPY,
    logger,
  });
  const metrics = config.STRONGROOM_METRICS_LISTEN ? new Metrics() : undefined;
  const app = buildGateway({
    ...(metrics && { metrics }),
    logger,
    directory,
    ca: readCertificate(config.STRONGROOM_CA_FILE),
    maxTokenLifetimeSeconds: config.STRONGROOM_MAX_TOKEN_LIFETIME_SECONDS,
    maxLogins: config.STRONGROOM_MAX_LOGINS,
    limits: limitRates(config),
    behindProxy: config.STRONGROOM_BEHIND_PROXY,
  });
  await directory.loadCopy();
  await directory.refresh();
  directory.poll();
  app.addHook("onClose", async () => directory.close());
  if (metrics && config.STRONGROOM_METRICS_LISTEN) {
    const metricsApp = buildMetricsServer(metrics, logger);
    app.addHook("onClose", async () => metricsApp.close());
    const [host, port] = config.STRONGROOM_METRICS_LISTEN.split(":");
    await metricsApp.listen({ host: host as string, port: Number(port) });
  }
  await serve(app, config);
});

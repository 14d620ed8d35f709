import { readConfig } from "../shared/config.ts";
import { limitRates, publishedSources, tlsIdentity } from "../shared/front/front-settings.ts";
import { run, serve } from "../shared/http/serve.ts";
import { createLogger } from "../shared/log.ts";
import { buildGateway } from "./app.ts";
import { Config, readCertificate } from "./config.ts";
import { gatheredLines } from "./record/log-lines.ts";
import { buildMetricsServer, Metrics } from "./record/metrics.ts";

await run(async () => {
  const config = readConfig(process.env, Config);
  const lines = gatheredLines();
  const logger = createLogger("gateway", config.STRONGROOM_LOG_LEVEL, lines);
  const published = publishedSources(config, logger);
  const metrics = config.STRONGROOM_METRICS_LISTEN ? new Metrics() : undefined;
  const app = buildGateway({
    ...(metrics && { metrics }),
    logger,
    deferLine: lines.defer,
    directory: published.directory,
    revocations: published.revocations,
    revocationsUrl: config.STRONGROOM_REVOCATIONS_URL,
    ca: readCertificate(config.STRONGROOM_CA_FILE),
    maxTokenLifetimeSeconds: config.STRONGROOM_MAX_TOKEN_LIFETIME_SECONDS,
    maxLogins: config.STRONGROOM_MAX_LOGINS,
    tls: tlsIdentity(config),
    limits: limitRates(config),
    behindProxy: config.STRONGROOM_BEHIND_PROXY,
  });
  app.addHook("onClose", async () => published.close());
  await published.start();
  if (metrics && config.STRONGROOM_METRICS_LISTEN) {
    const metricsApp = buildMetricsServer(metrics, logger);
    app.addHook("onClose", async () => metricsApp.close());
    const [host, port] = config.STRONGROOM_METRICS_LISTEN.split(":");
    await metricsApp.listen({ host: host as string, port: Number(port) });
  }
  await serve(app, config);
});

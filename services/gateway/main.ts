import { readConfig } from "../shared/config.ts";
import { DirectorySource } from "../shared/directory/load.ts";
import { run, serve } from "../shared/http/serve.ts";
import { createLogger } from "../shared/log.ts";
import { RevocationSource } from "../shared/revocations/load.ts";
import { buildGateway } from "./app.ts";
import { Config, limitRates, readCertificate, readPublicKey, tlsIdentity } from "./config.ts";
import { gatheredLines } from "./log-lines.ts";
import { buildMetricsServer, Metrics } from "./metrics.ts";

await run(async () => {
  const config = readConfig(process.env, Config);
  const lines = gatheredLines();
  const logger = createLogger("gateway", config.STRONGROOM_LOG_LEVEL, lines);
  const key = readPublicKey(config.STRONGROOM_DIRECTORY_KEY_FILE, "STRONGROOM_DIRECTORY_KEY_FILE");
  const ownership = readPublicKey(config.STRONGROOM_OWNERSHIP_KEY_FILE, "STRONGROOM_OWNERSHIP_KEY_FILE");
  const maxTokenLifetimeSeconds = config.STRONGROOM_MAX_TOKEN_LIFETIME_SECONDS;
  const directory = new DirectorySource({
    url: config.STRONGROOM_DIRECTORY_URL,
    keys: { directory: key, ownership },
    copy: config.STRONGROOM_DIRECTORY_COPY,
    logger,
  });
  const metrics = config.STRONGROOM_METRICS_LISTEN ? new Metrics() : undefined;
  const revocations = new RevocationSource({
    url: config.STRONGROOM_REVOCATIONS_URL,
    key,
    copy: config.STRONGROOM_REVOCATIONS_COPY,
    maxTokenLifetimeSeconds,
    logger,
  });
  const app = buildGateway({
    ...(metrics && { metrics }),
    logger,
    deferLine: lines.defer,
    directory,
    revocations,
    revocationsUrl: config.STRONGROOM_REVOCATIONS_URL,
    ca: readCertificate(config.STRONGROOM_CA_FILE),
    maxTokenLifetimeSeconds,
    maxLogins: config.STRONGROOM_MAX_LOGINS,
    tls: tlsIdentity(config),
    limits: limitRates(config),
    behindProxy: config.STRONGROOM_BEHIND_PROXY,
  });
  const polled = [revocations, directory];
  app.addHook("onClose", async () => {
    for (const each of polled) each.close();
  });
  await Promise.all(
    polled.map(async (each) => {
      await each.loadCopy();
      await each.refresh();
      each.poll();
    }),
  );
  if (metrics && config.STRONGROOM_METRICS_LISTEN) {
    const metricsApp = buildMetricsServer(metrics, logger);
    app.addHook("onClose", async () => metricsApp.close());
    const [host, port] = config.STRONGROOM_METRICS_LISTEN.split(":");
    await metricsApp.listen({ host: host as string, port: Number(port) });
  }
  await serve(app, config);
});

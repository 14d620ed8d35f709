import { readConfig } from "../shared/config.ts";
import { internalVaultLogin, keyProviders, signers } from "../shared/envelope/key-settings.ts";
import { limitRates, publishedSources, tlsIdentity } from "../shared/front/front-settings.ts";
import { run, serve } from "../shared/http/serve.ts";
import { createLogger } from "../shared/log.ts";
import { openQueues } from "../shared/queue/open-queues.ts";
import { KINDS, type Kind } from "../shared/work/kinds.ts";
import { buildIntake } from "./app.ts";
import { createBrokerClient } from "./broker/client.ts";
import { brokerSettings, Config, destinationPorts, useLimits } from "./config.ts";
import { JobWatch } from "./jobs/watch.ts";
import { openStore } from "./store/open-store.ts";

await run(async () => {
  const config = readConfig(process.env, Config);
  const logger = createLogger("intake", config.STRONGROOM_LOG_LEVEL);
  const region = config.STRONGROOM_AWS_REGION;
  const aws = region === undefined ? {} : { region };
  const vault = internalVaultLogin(config);
  const keyProvider = keyProviders(config, vault);
  const ports = destinationPorts(config);
  const tls = tlsIdentity(config);
  const brokerClient = createBrokerClient(brokerSettings(config));
  const published = publishedSources(config, logger);
  const queueSettings: Record<Kind, string> = {
    integration: config.STRONGROOM_INTEGRATION_QUEUES,
    webhook: config.STRONGROOM_WEBHOOK_QUEUES,
    feed: config.STRONGROOM_FEED_QUEUES,
    broker: config.STRONGROOM_BROKER_QUEUES,
  };
  const [integration, webhook, broker, receiptsSigner, store, ...opened] = await Promise.all([
    keyProvider(config.STRONGROOM_INTEGRATION_KEY),
    keyProvider(config.STRONGROOM_WEBHOOK_KEY),
    keyProvider(config.STRONGROOM_BROKER_KEY),
    signers(config, vault)(config.STRONGROOM_RECEIPTS_KEY),
    openStore(config.STRONGROOM_STORE, aws),
    ...KINDS.map(async (kind) => [kind, await openQueues(queueSettings[kind], aws)] as const),
  ]);
  const queues = Object.fromEntries(opened) as Record<Kind, Awaited<ReturnType<typeof openQueues>>>;
  const app = await buildIntake({
    intake: {
      store,
      keys: { integration, webhook, broker },
      receiptsSigner,
      queues,
      broker: brokerClient,
      uses: useLimits(config),
      destinationPorts: ports,
      watch: new JobWatch(),
      log: logger,
      now: Date.now,
    },
    directory: published.directory,
    revocations: published.revocations,
    maxTokenLifetimeSeconds: config.STRONGROOM_MAX_TOKEN_LIFETIME_SECONDS,
    tls,
    limits: limitRates(config),
    behindProxy: config.STRONGROOM_BEHIND_PROXY,
  });
  app.addHook("onClose", async () => {
    published.close();
    brokerClient.close();
    await Promise.all(KINDS.flatMap((kind) => [queues[kind].jobs.close(), queues[kind].results.close()]));
    await store.close();
  });
  await published.start();
  await serve(app, config);
});

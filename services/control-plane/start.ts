import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import { RateLimits } from "../shared/aws/rates.ts";
import { readSecretFile, readSettingFile } from "../shared/config.ts";
import type { Server } from "../shared/http/server.ts";
import { rememberedIssuerKeys } from "../shared/issuer-jwks.ts";
import { createLogger } from "../shared/log.ts";
import { parameterStore } from "../shared/parameters/parameter-settings.ts";
import { appRoleLogin } from "../shared/vault/approle.ts";
import { type VaultClient, type VaultEndpoint, vaultClient } from "../shared/vault/client.ts";
import { internalVaultEndpoint } from "../shared/vault/internal-vault-settings.ts";
import { kv2 } from "../shared/vault/kv.ts";
import { readPlatformTrust } from "../shared/vault/platform-trust.ts";
import { createApp } from "./api/app.ts";
import { type Config, readIssuers, runtimeSettings } from "./config.ts";
import type { Platform } from "./dependencies.ts";
import { createEngine, type Engine } from "./jobs/engine.ts";
import { createOrgLocks } from "./jobs/org-locks.ts";
import type { Failpoint } from "./jobs/workflow.ts";
import { platformRecoveryKeys } from "./orgs/recovery-keys.ts";
import { workflows } from "./orgs/workflows.ts";
import { createDirectory } from "./publish/directory.ts";
import { RevocationPublisher } from "./publish/revocations.ts";
import { createReconciler, type Reconciler } from "./reconcile/loop.ts";
import { createRegistry } from "./registry/registry.ts";
import { ProcessRuntime } from "./runtime/process.ts";
import { Trail } from "./trail.ts";

const READY_CHECK_TIMEOUT_MS = 2_000;
const RETRY_MS = 1_000;
/** Startup time after which a warning is logged repeatedly. */
const START_MS = 20 * 60_000;
const TELL_EVERY_MS = 60_000;
const STOP_WITHIN_MS = 4_000;

/**
 * Creates the control plane from its settings. It starts working once it listens, and stops when it is closed. Tests
 * inject failures through `failpoint`.
 */
export async function startControlPlane(
  config: Config,
  failpoint: Failpoint = async () => {},
): Promise<Server> {
  const log = createLogger("control-plane", config.STRONGROOM_LOG_LEVEL);
  const internalVault = internalVaultEndpoint(config);
  const login = appRoleLogin(internalVault, {
    roleId: readSecretFile(config.STRONGROOM_ROLE_ID_FILE, "STRONGROOM_ROLE_ID_FILE"),
    secretId: readSecretFile(config.STRONGROOM_SECRET_ID_FILE, "STRONGROOM_SECRET_ID_FILE"),
  });
  const platform = await assemble(
    config,
    internalVault,
    vaultClient(internalVault, login.token),
    log,
    failpoint,
  );
  const { registry, now } = platform;
  const locks = createOrgLocks();
  const engine = createEngine({ registry, workflows: workflows(platform), locks, log, now, failpoint });
  const reconciler = createReconciler(platform, engine, {
    locks,
    intervalMs: config.STRONGROOM_RECONCILE_SECONDS * 1000,
    driftIntervalMs: config.STRONGROOM_DRIFT_SECONDS * 1000,
  });

  const stopping = new AbortController();
  const look = vaultClient(internalVault, login.token, READY_CHECK_TIMEOUT_MS);
  let hasBegun = false;
  const app = await createApp({
    platform,
    engine,
    operators: { ...platform.issuers[0], audience: config.STRONGROOM_OPERATOR_AUDIENCE },
    async isReady() {
      if (hasBegun) await look.read("auth/token/lookup-self");
      return hasBegun;
    },
  });
  app.addHook("onListen", async () => {
    const telling = tellOfLongStart(log, stopping.signal);
    void begin(engine, reconciler, platform, stopping.signal).then(() => {
      hasBegun = true;
      clearInterval(telling);
    });
  });
  app.addHook("onClose", async () => {
    stopping.abort();
    await Promise.all([reconciler.stop(), engine.stop(STOP_WITHIN_MS)]);
  });
  return app;
}

/** Warns of a slow start, which an operator must notice: nothing replaces a control plane that is alive. */
function tellOfLongStart(log: Logger, signal: AbortSignal): NodeJS.Timeout {
  const begun = performance.now();
  return setInterval(() => {
    const seconds = Math.round((performance.now() - begun) / 1000);
    if (seconds * 1000 >= START_MS && !signal.aborted) log.warn({ seconds }, "still starting");
  }, TELL_EVERY_MS).unref();
}

/** Resumes unfinished jobs and reconciles everything once before the service is ready. */
async function begin(
  engine: Engine,
  reconciler: Reconciler,
  { trail, log }: Platform,
  signal: AbortSignal,
): Promise<void> {
  for (; !signal.aborted; await sleep(RETRY_MS)) {
    try {
      await trail.head();
      await engine.resume();
      await reconciler.first();
      reconciler.start();
      return;
    } catch (err) {
      log.error({ err }, "startup failed; trying again");
    }
  }
}

async function assemble(
  config: Config,
  internalVault: VaultEndpoint,
  vault: VaultClient,
  log: Logger,
  failpoint: Failpoint,
): Promise<Platform> {
  const now = () => new Date();
  const registry = createRegistry(kv2(vault, "registry"));
  const issuers = readIssuers(config.STRONGROOM_ISSUERS_FILE);
  const recoveryKey = readSettingFile(config.STRONGROOM_RECOVERY_KEY_FILE, "STRONGROOM_RECOVERY_KEY_FILE");
  return {
    vault,
    registry,
    directory: createDirectory({ vault, registry, issuers, now }),
    ...(await assembleRuntime(config)),
    trail: new Trail({ vault, now, log }),
    revocations: new RevocationPublisher({
      vault,
      registry,
      maxTokenLifetimeSeconds: config.STRONGROOM_MAX_TOKEN_LIFETIME_SECONDS,
      now,
    }),
    parameterPrefix: config.STRONGROOM_PARAMETER_PREFIX,
    ca: readSettingFile(config.STRONGROOM_CA_FILE, "STRONGROOM_CA_FILE"),
    internalVault,
    certificateSeconds: config.STRONGROOM_CERTIFICATE_SECONDS,
    issuers,
    recoveryPgpKeys: await platformRecoveryKeys(recoveryKey),
    issuerKeys: rememberedIssuerKeys(),
    trust: () => readPlatformTrust(vault),
    log,
    now,
    failpoint,
  };
}

/** The runtime of the instances, and the store of their parameters. */
async function assembleRuntime(config: Config): Promise<Pick<Platform, "runtime" | "parameters">> {
  const settings = runtimeSettings(config);
  if (settings.kind === "process") {
    return { runtime: new ProcessRuntime(settings.instances), parameters: await parameterStore(config) };
  }
  const { cell } = settings;
  const limits = new RateLimits();
  const place = { STRONGROOM_SSM_KEY_ID: cell.parameterKeyArn, STRONGROOM_SSM_REGION: cell.region };
  // Loaded only here: the AWS SDK takes longer to load than everything else.
  const [{ EcsRuntime }, { awsClients }] = await Promise.all([
    import("./runtime/ecs.ts"),
    import("./runtime/ecs/clients.ts"),
  ]);
  return {
    runtime: new EcsRuntime(awsClients(cell, limits)),
    parameters: await parameterStore({ ...place, ...config }, limits),
  };
}

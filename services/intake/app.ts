/**
 * The intake: takes what organizations give the platform to use, and can only encrypt it. It holds permission to make
 * data keys, writes ciphertext, sends jobs and takes their results. It never decrypts, takes a job, or connects to a
 * customer's destination.
 *
 * Begin reading at `http/admit.ts`: the order in which a request is checked. `api/` has the routes; `credentials/`,
 * `sealing-keys/`, `rewrap/` (sealing anew), `uses/` (jobs that use a credential), `broker/` (requests that the broker
 * sends at once), `tokens/`, `connections/` (delegation by OAuth), `schedules/`, `rotations/`, `webhooks/` and `feeds/` are
 * what they are about; `receipts/` records each use of a credential in a chain that the organization can verify;
 * `jobs/` records, sends and ends jobs of any kind so that a crash loses none; `due/` does what is due; `store/` keeps
 * it all.
 */
import fastifySwagger from "@fastify/swagger";
import { registerIdentity } from "../shared/front/identity/authenticator.ts";
import { type LimitRates, Limits } from "../shared/front/limits.ts";
import type { DirectorySource } from "../shared/front/published/directory-source.ts";
import type { RevocationSource } from "../shared/front/published/revocation-source.ts";
import { openApi } from "../shared/http/openapi.ts";
import type { Server, TlsIdentity } from "../shared/http/server.ts";
import { refuseUnrouted } from "../shared/http/unrouted.ts";
import type { Issuer } from "../shared/org.ts";
import { connectionRoutes } from "./api/connections.ts";
import { credentialRoutes } from "./api/credentials.ts";
import { deliveryRoutes } from "./api/deliveries.ts";
import { feedRoutes } from "./api/feeds.ts";
import { healthRoutes } from "./api/health.ts";
import { receiptRoutes } from "./api/receipts.ts";
import { rewrapRoutes } from "./api/rewrap.ts";
import { rotationRoutes } from "./api/rotations.ts";
import { ruleRoutes } from "./api/rules.ts";
import { scheduleRoutes } from "./api/schedules.ts";
import { sealingKeyRoutes } from "./api/sealing-keys.ts";
import { tokenRoutes } from "./api/tokens.ts";
import { brokerUseRoutes } from "./api/use.ts";
import { useRoutes } from "./api/uses.ts";
import { webhookSecretRoutes } from "./api/webhook-secrets.ts";
import { webhookRoutes } from "./api/webhooks.ts";
import type { Intake } from "./dependencies.ts";
import { admitMembers } from "./http/admit.ts";
import { createIntakeServer } from "./http/intake-server.ts";
import { answerErrors } from "./http/refuse.ts";
import { readinessCheck } from "./readiness.ts";
import { createWork } from "./work.ts";

export interface IntakeOptions {
  intake: Intake;
  directory: DirectorySource;
  revocations: RevocationSource;
  maxTokenLifetimeSeconds: number;
  /** The intake's certificate and key; without it, plain HTTP. */
  tls?: TlsIdentity | undefined;
  /** Rate limits; none by default. */
  limits?: LimitRates;
  behindProxy?: boolean;
  /** How often what is due is looked for, in milliseconds; about once a second unless given. */
  dueEveryMs?: number;
}

const DESCRIPTION =
  "Keeps credentials that workers use on an organization's behalf, and that nobody reads. Callers are the " +
  "organization's members, with the JWTs that the gateway accepts. Errors are problem details (RFC 9457).";
const NO_ISSUERS: readonly Issuer[] = [];

/** An intake by its options. It begins working once it listens, and stops when it is closed. */
export async function buildIntake(options: IntakeOptions): Promise<Server> {
  const { intake, directory, revocations, tls, limits: rates = {}, behindProxy = false } = options;
  const { log: logger } = intake;
  const limits = new Limits(rates);
  const app = createIntakeServer({ logger, tls, limits, rates, behindProxy });
  const issuers = () => directory.current?.issuers ?? NO_ISSUERS;
  const maxLifetimeSeconds = options.maxTokenLifetimeSeconds;
  const authenticator = registerIdentity(app, { issuers, logger, maxLifetimeSeconds });
  const work = createWork(intake, options.dueEveryMs);

  answerErrors(app, limits);
  admitMembers(app, { logger, directory, revocations, authenticator, limits });
  refuseUnrouted(app);
  await app.register(
    fastifySwagger,
    openApi({ title: "Strongroom intake", description: DESCRIPTION, scheme: "member" }),
  );

  app.register(async (routes: Server) => {
    credentialRoutes(routes, work);
    rewrapRoutes(routes, work);
    sealingKeyRoutes(routes, work);
    useRoutes(routes, work);
    brokerUseRoutes(routes, work);
    ruleRoutes(routes, work);
    tokenRoutes(routes, work);
    connectionRoutes(routes, work);
    scheduleRoutes(routes, work);
    webhookRoutes(routes, work);
    webhookSecretRoutes(routes, work);
    deliveryRoutes(routes, work);
    feedRoutes(routes, work);
    rotationRoutes(routes, work);
    receiptRoutes(routes, intake);
    healthRoutes(routes, readinessCheck(intake, { directory, revocations }), work.signing);
  });

  app.addHook("onReady", (done) => {
    void authenticator.prefetchKeys(); // not waited for: an intake is alive without any keys
    done();
  });
  app.addHook("onListen", async () => work.start());
  // Before the store and the queues are closed, and before requests in progress have ended.
  app.addHook("preClose", async () => work.stop());
  return app;
}

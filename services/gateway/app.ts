/**
 * The gateway: Vault's API for every organization in the directory, to holders of its issuers' tokens. It holds no
 * credential of its own: it forwards the caller's identity. It never reaches the internal Vault, caches no secret, and
 * keeps no Vault token longer than 60 s.
 *
 * Begin reading at `pipeline.ts`: the order in which a request is checked. `answer/` has a file for each kind of
 * answer, `upstream/` what goes to an organization's Vault, `route/` what is served, `http/` what a connection may do,
 * `record/` what is logged and counted.
 */
import { registerIdentity } from "../shared/front/identity/authenticator.ts";
import { createRequestLog, type RequestLine } from "../shared/front/request-log.ts";
import type { Server } from "../shared/http/server.ts";
import type { Issuer } from "../shared/org.ts";
import { createAnswers } from "./answer/index.ts";
import { createDependencies, type GatewayOptions } from "./dependencies.ts";
import { createGatewayServer } from "./http/gateway-server.ts";
import { readBodies } from "./http/read-body.ts";
import { serveKnownReads } from "./known-reads.ts";
import { createPipeline } from "./pipeline.ts";
import { answerErrors } from "./refuse.ts";
import { serveRequests } from "./serve-requests.ts";

/** A gateway by its options, not listening yet. */
export function buildGateway(options: GatewayOptions): Server {
  const { logger, directory, metrics, now, maxTokenLifetimeSeconds: maxLifetimeSeconds } = options;
  const dependencies = createDependencies(options);
  const { limits, upstreams, logins } = dependencies;
  const app = createGatewayServer(options, limits);
  const issuers = () => directory.current?.issuers ?? NO_ISSUERS;
  const authenticator = registerIdentity(app, { issuers, logger, maxLifetimeSeconds, ...(now && { now }) });
  const pipeline = createPipeline(dependencies, authenticator);
  const observe = metrics && ((line: RequestLine) => metrics.observe(line));
  const logRequest = createRequestLog({ logger, observe, defer: options.deferLine });

  serveKnownReads(app, { pipeline, limits, logRequest, tls: options.tls !== undefined });
  answerErrors(app, limits);
  readBodies(app);
  serveRequests(app, { dependencies, pipeline, answers: createAnswers(dependencies, pipeline), logRequest });

  metrics?.watch({
    directory: () =>
      directory.current && { version: directory.current.version, orgs: directory.current.orgs.length },
    upstreams: () => upstreams.counts(),
    logins: () => logins.size,
  });
  app.addHook("onReady", (done) => {
    void authenticator.prefetchKeys(); // not waited for: a gateway serves the open paths without any keys
    done();
  });
  app.addHook("onClose", async () => {
    logins.close();
    await upstreams.close();
  });
  return app;
}

const NO_ISSUERS: readonly Issuer[] = [];

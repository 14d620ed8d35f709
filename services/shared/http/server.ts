import { randomUUID } from "node:crypto";
import type { ServerOptions } from "node:http";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import Fastify, { type FastifyServerOptions, LogController, type RawServerDefault } from "fastify";
import type { Logger } from "pino";
import type { Right } from "../front/levels.ts";
import type { Level } from "../org.ts";
import type { Secret } from "../secret.ts";

/**
 * Who may use a route: holders of a permission, an organization's members of a level and above, those with a right, or
 * everyone, with the reason that makes it safe.
 */
export type Access = { permission: string } | { level: Level } | { right: Right } | { open: string };

declare module "fastify" {
  interface FastifyContextConfig {
    access?: Access;
    /** Bodies are streamed to where they are needed, in both directions, and may be long. */
    isStreamed?: boolean;
  }
}

type Options = Pick<
  FastifyServerOptions<RawServerDefault, Logger>,
  | "bodyLimit"
  | "clientErrorHandler"
  | "frameworkErrors"
  | "rewriteUrl"
  | "childLoggerFactory"
  | "return503OnClosing"
  | "trustProxy"
  | "requestTimeout"
> & {
  /** Makes the server speak TLS and send HSTS. PEM. */
  tls?: TlsIdentity | undefined;
} & Pick<ServerOptions, "IncomingMessage">;

/** A server's certificate with its intermediates, and its key; PEM. */
export interface TlsIdentity {
  cert: string;
  key: Secret;
}

const HTTP = { maxHeaderSize: 16 * 1024, headersTimeout: 10_000, connectionsCheckingInterval: 1_000 };
/** The header that makes browsers use TLS only. */
export const HSTS = ["Strict-Transport-Security", "max-age=63072000; includeSubDomains"] as const;

/**
 * A Fastify server with the settings that production and tests share: a request id generated here and returned as
 * `X-Request-Id`, bounded time and size, no URL or header in the log, unknown fields refused rather than dropped, and
 * no route without a declared {@link Access}.
 */
export function createServer(logger: Logger, { tls, IncomingMessage, ...options }: Options = {}) {
  const http = { ...HTTP, ...(IncomingMessage && { IncomingMessage }) };
  const https = tls && { ...http, cert: tls.cert, key: tls.key.reveal(), minVersion: "TLSv1.2" };
  // Fastify's types differ for HTTP and HTTPS servers, which makes no difference here.
  const app = Fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => randomUUID(),
    requestIdHeader: false,
    bodyLimit: 64 * 1024,
    requestTimeout: 15_000,
    connectionTimeout: 60_000,
    keepAliveTimeout: 75_000,
    forceCloseConnections: "idle",
    ...(https ? { https } : { http }),
    routerOptions: { maxParamLength: 1024, ignoreTrailingSlash: false, caseSensitive: true },
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, useDefaults: true } },
    exposeHeadRoutes: false,
    ...options,
  } as FastifyServerOptions<RawServerDefault, Logger>).withTypeProvider<TypeBoxTypeProvider>();

  app.addHook("onRoute", (route) => {
    if (!route.config?.access) throw new Error(`${route.method} ${route.url}: the route declares no access`);
  });
  app.addHook("onRequest", (request, reply, done) => {
    reply.header("X-Request-Id", request.id);
    // On the raw response, since some responses bypass Fastify's reply.
    if (tls) reply.raw.setHeader(...HSTS);
    done();
  });
  return app;
}

/** The server as {@link createServer} makes it. */
export type Server = ReturnType<typeof createServer>;

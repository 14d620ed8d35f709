import type { Readable } from "node:stream";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Logger } from "pino";
import type { DirectorySource } from "../shared/directory/load.ts";
import { StrongroomError } from "../shared/errors.ts";
import { createServer, type Server, type TlsIdentity } from "../shared/http/server.ts";
import { hasToken, requestToken } from "../shared/identity/token.ts";
import type { RevocationSource } from "../shared/revocations/load.ts";
import type { Secret } from "../shared/secret.ts";
import { createAdmission } from "./admit.ts";
import { registerAuthentication } from "./authenticate.ts";
import { authorizePath } from "./authorize-path.ts";
import { Bodies, bodyOf } from "./bodies.ts";
import { canonicalPath } from "./canonical-path.ts";
import { checkFraming } from "./check-framing.ts";
import { connectionErrors } from "./connection-errors.ts";
import { boundConnections } from "./connections.ts";
import { unitsOfAnswer, unitsOfBody, unitsOfHead } from "./cost.ts";
import { forward } from "./forward.ts";
import { serveKnownReads } from "./known-reads.ts";
import { isCallersFault, type LimitRates, Limits, TooManyRequests } from "./limits.ts";
import { Logins } from "./login.ts";
import { MachineCallers } from "./machine-callers.ts";
import { answerMachineSelf, issueMachineToken, knowMachine } from "./machine-tokens.ts";
import type { Metrics } from "./metrics.ts";
import { sendMounts } from "./mounts.ts";
import { BoundedRequest, boundPieces } from "./pieces.ts";
import { Relay } from "./relay.ts";
import { type Pass, registerRequestLog } from "./request-log.ts";
import {
  sendDone,
  sendError,
  sendHealth,
  sendInit,
  sendLeader,
  sendLookupSelf,
  sendSealStatus,
} from "./respond.ts";
import { revokeSelf } from "./revoke.ts";
import { findRoute, type Route } from "./routes.ts";
import { boundedLogin, checkLoginLength, readLogin, sendLogin, sendRenewal } from "./session.ts";
import { announcedBytes, drain, hasBody, Uploads } from "./uploads.ts";
import { Upstreams, type UpstreamTimes } from "./upstreams.ts";

export interface GatewayOptions {
  logger: Logger;
  /** Has the line of a request made later; each is made at once by default. */
  deferLine?: (log: () => void) => void;
  directory: DirectorySource;
  revocations: RevocationSource;
  /** Where the control plane takes revocations. */
  revocationsUrl: string;
  /** The authority behind the organizations' server certificates, PEM. */
  ca: string;
  maxTokenLifetimeSeconds: number;
  /** How many of the callers' Vault tokens are kept at most. */
  maxLogins: number;
  /** What it shows to callers; without it they come by plain HTTP. */
  tls?: TlsIdentity | undefined;
  /** Where requests are counted. */
  metrics?: Metrics;
  /** How much is done for whom; no limits unless given. */
  limits?: LimitRates;
  /** Whether a caller's address is the last of `X-Forwarded-For`, as the proxy in front has added it. */
  behindProxy?: boolean;
  /** How long the organizations' Vaults may take, where it is not the usual. */
  upstreamTimes?: UpstreamTimes;
  /** Milliseconds since 1970; the system's clock by default. */
  now?: () => number;
}

const MAX_BODY_BYTES = 1024 * 1024;
const CONTENT_TYPES = { json: "application/json", "merge-patch": "application/merge-patch+json" };

/** The gateway: Vault's API for every organization in the directory, to holders of its issuers' tokens. */
export function buildGateway(options: GatewayOptions): Server {
  const { logger, directory, revocations, ca, maxTokenLifetimeSeconds, maxLogins, now = Date.now } = options;
  const limits = new Limits(options.limits ?? {});
  /** Whether an address may have an answer to what is no HTTP. A proxy in front has an address of its own. */
  const countGarbage = (address: string | undefined): boolean => {
    if (options.behindProxy) return true;
    const now = performance.now();
    if (limits.addressWait(address, now) > 0) return false;
    limits.countAddress(address, now);
    return true;
  };
  const app = createServer(logger, {
    bodyLimit: MAX_BODY_BYTES,
    tls: options.tls,
    IncomingMessage: BoundedRequest,
    // There is one reader of paths here, and it is not Fastify's router.
    rewriteUrl: () => "/",
    childLoggerFactory: (parent) => parent,
    clientErrorHandler: connectionErrors(
      (...list) => app.server.emit("request", ...list),
      logger,
      countGarbage,
    ),
    return503OnClosing: false,
    trustProxy: options.behindProxy ? (_address: string, hop: number) => hop === 0 : false,
  });
  boundConnections(app.server, {
    byAddress: Boolean(options.limits?.address) && !options.behindProxy,
    isBarred: (address) => limits.isBarred(address, performance.now()),
  });
  const upstreams = new Upstreams(ca, options.upstreamTimes);
  const logins = new Logins({ maxKept: maxLogins, now });
  const machines = new MachineCallers();
  const uploads = new Uploads((org, bytes) => limits.chargeOrg(org, unitsOfBody(bytes)));
  const bodies = new Bodies(limits);
  /** Bodies of those whom nothing has verified yet: they take no room from those who are. */
  const unverified = new Uploads();
  const { authenticate, recall, prefetchKeys } = registerAuthentication(app, {
    directory,
    logger,
    maxTokenLifetimeSeconds,
    now,
  });

  const checks = { directory, revocations, authenticate, recall, limits, logins, machines };
  const admission = createAdmission(checks);

  const { metrics } = options;
  metrics?.watch({
    directory: () =>
      directory.current && { version: directory.current.version, orgs: directory.current.orgs.length },
    upstreams: () => upstreams.counts(),
    logins: () => logins.size,
  });
  const beginTrace = registerRequestLog(app, {
    logger,
    observe: metrics && ((line) => metrics.observe(line)),
    defer: options.deferLine,
  });
  serveKnownReads(app, { admission, limits, upstreams, logins, beginTrace, tls: options.tls !== undefined });
  app.setErrorHandler(async (error, request, reply) => {
    request.trace.error = error;
    if (!request.trace.org && isCallersFault(error)) countAddress(request);
    if (!request.raw.complete) drain(request.raw);
    if (error instanceof TooManyRequests) await limits.holdBack();
    if (!reply.sent) sendError(reply, error);
    return reply;
  });
  const countAddress = ({ raw, body, ip }: FastifyRequest) => {
    const read = Buffer.isBuffer(body) ? unitsOfBody(body.length) : unitsOfAnswer(announcedBytes(raw));
    limits.countAddress(ip, performance.now(), unitsOfHead(raw) + read);
  };
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
  app.addHook("onReady", (done) => {
    void prefetchKeys(); // not waited for: a gateway serves the open paths without any keys
    done();
  });
  app.addHook("onClose", async () => {
    logins.close();
    await upstreams.close();
  });

  // Before the body is read: who is it, of which organization, and is there such a path.
  app.addHook("onRequest", async (request, reply) => {
    const { trace } = request;
    boundPieces(request, reply.raw, limits);
    checkFraming(request.raw);
    const addressWait = limits.addressWait(request.ip, trace.began);
    if (addressWait > 0 && !recall(request.raw)) throw new TooManyRequests("address", addressWait);
    const path = canonicalPath(request.originalUrl);
    const route = findRoute(path.segments);
    trace.route = route?.name;
    if (route && "open" in route.access && (route.answer !== "vault-open" || !hasToken(request.raw))) {
      authorizePath(route, request.method, path);
      if (route.answer === "login") {
        checkLoginLength(request.headers["content-length"]);
        return unverified.admit(request.ip, request.raw, reply.raw);
      }
      limits.countAddress(request.ip, trace.began);
      if (route.answer === "leader") return sendLeader(reply);
      if (route.answer === "init") return sendInit(reply);
      return sendOwn(route, reply);
    }
    const presented = requestToken(request.raw);
    const machine = admission.machine(request, presented);
    if (machine) {
      const { org } = machine;
      const upstream = upstreams.of(org, machine.directory);
      const target = authorizePath(route, request.method, path);
      // Without a verified caller, no organization's Vault says how it is.
      if (target.route.answer === "vault-open") return sendOwn(target.route, reply);
      if (target.route.answer === "machine-token")
        throw new StrongroomError("forbidden", "permission denied");
      request.pass = { ...target, org, machine, upstream };
      if (!hasBody(request.raw)) return;
      // Only a machine that its Vault knows has a body read, and the organization pays for it.
      await knowMachine(machines, machine, upstream, request.id).catch((error) => {
        countAddress(request);
        throw error;
      });
      admission.charge(request, org);
      uploads.admit(org.id, request.raw, reply.raw);
      return;
    }
    // A token that was ended may be ended again: other gateways may not have been told.
    const mayBeRevoked = route?.answer === "revoke-self";
    const { org, identity, directory: held } = await admission.member(request, presented, { mayBeRevoked });
    const target = authorizePath(route, request.method, path);
    uploads.admit(org.id, request.raw, reply.raw);
    request.pass = { ...target, org, identity, upstream: upstreams.of(org, held) };
  });

  app.addHook("preParsing", (request, reply, payload, done) => {
    const isLogin = !request.pass && request.headers["transfer-encoding"] !== undefined;
    done(null, isLogin ? boundedLogin(payload as Readable, reply) : payload);
  });

  const sendOwn = (route: Route, reply: FastifyReply) =>
    route.name === "sys/health"
      ? sendHealth(reply, options, new Date(now()))
      : sendSealStatus(reply, options);

  /** A token of the organization's Vault for whoever asks. */
  const tokenOf = async ({ machine, identity, upstream }: Pass, reply: FastifyReply): Promise<Secret> =>
    machine ? machine.token : await logins.tokenFor(upstream, identity, reply.request.id);

  /** What no Vault is asked for as it stands: a caller's own token, and a machine's. */
  const answerHere = async (
    pass: Pass,
    body: Buffer | undefined,
    reply: FastifyReply,
  ): Promise<FastifyReply> => {
    if (pass.route.answer === "mounts") return sendMounts(reply, pass.upstream, await tokenOf(pass, reply));
    if (pass.machine) return answerMachineSelf(reply, pass, body);
    const { route, org, identity } = pass;
    if (route.answer === "lookup-self") return sendLookupSelf(reply, identity, new Date(now()));
    if (route.answer === "renew-self") return sendRenewal(reply, identity, new Date(now()));
    if (route.answer === "machine-token") return issueMachineToken(reply, pass, machines, body);
    logins.forget(org.id, identity);
    await revokeSelf(revocations, options.revocationsUrl, org, identity);
    return sendDone(reply);
  };

  const serve = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    if (!request.pass) {
      const { jwt, role } = readLogin(request.body);
      const { identity } = await admission.member(request, jwt);
      return sendLogin(reply, identity, role, new Date(now()));
    }
    const { pass } = request;
    const { verb } = pass;
    const body = bodyOf(request.body, verb);
    if (!body) return answer(request, reply, pass, body);
    const checked = { org: pass.org.id, bytes: body, contentType: request.headers["content-type"], verb };
    const isGone = () => reply.raw.destroyed;
    return bodies.take({ ...checked, isGone }, () => answer(request, reply, pass, body));
  };

  /** Answers a request whose body, if it has one, has been checked. */
  const answer = async (
    request: FastifyRequest,
    reply: FastifyReply,
    pass: Pass,
    body: Buffer | undefined,
  ): Promise<FastifyReply> => {
    const { method, id: requestId, trace } = request;
    const { route, verb, path, upstream, machine } = pass;
    if (route.answer !== "vault" && route.answer !== "vault-open") return answerHere(pass, body, reply);
    trace.sentAt = performance.now();
    const begins = () => reply.hijack();
    try {
      if (route.answer === "vault-open") {
        const open = { method, path: path.split("?", 1)[0] ?? path, requestId };
        await forward(upstream, open, new Relay(reply.raw, trace, { begins, anyStatus: true }));
        return reply;
      }
      const token = await tokenOf(pass, reply);
      const contentType = body && CONTENT_TYPES[verb.body ?? "json"];
      const relay = new Relay(reply.raw, trace, { begins });
      await forward(upstream, { method, path, token, body, contentType, requestId }, relay).finally(() =>
        limits.chargeOrg(pass.org.id, unitsOfAnswer(relay.size)),
      );
      if (machine && !machines.isKnown(machine)) {
        const { statusCode } = reply.raw;
        if (statusCode === 403) countAddress(request);
        else machines.note(machine, statusCode < 300);
      }
    } catch (error) {
      if (!reply.sent) throw error;
      trace.error = error; // the answer broke off, and so has the caller's
    }
    return reply;
  };
  app.all("/", { config: { access: { open: "each path has its own access: routes.ts" } } }, serve);
  app.setNotFoundHandler(serve);
  return app;
}

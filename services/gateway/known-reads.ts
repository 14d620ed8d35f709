import { randomUUID } from "node:crypto";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { Admission, Member } from "../shared/front/admit.ts";
import { unitsOfAnswer, unitsOfHead } from "../shared/front/cost.ts";
import type { Limits } from "../shared/front/limits.ts";
import { HSTS, type Server } from "../shared/http/server.ts";
import type { Secret } from "../shared/secret.ts";
import { endWithError } from "./answer/respond.ts";
import { isList } from "./http/list-verb.ts";
import type { BeginTrace } from "./record/request-log.ts";
import { authorizePath, type Target } from "./route/authorize-path.ts";
import { canonicalPath } from "./route/canonical-path.ts";
import { findRoute } from "./route/routes.ts";
import { forward } from "./upstream/forward.ts";
import type { Logins } from "./upstream/login.ts";
import { Relay } from "./upstream/relay.ts";
import type { Upstream, Upstreams } from "./upstream/upstreams.ts";

export interface KnownReadsOptions {
  admission: Admission;
  limits: Limits;
  upstreams: Upstreams;
  logins: Logins;
  beginTrace: BeginTrace;
  /** Whether callers come by TLS. */
  tls: boolean;
}

/** A read that can go to its Vault at once. */
interface KnownRead extends Member {
  target: Target;
  upstream: Upstream;
  token: Secret;
}

/**
 * Serves, before Fastify sees them, the reads of callers who are known: GET without a body, by a JWT verified
 * before and logged in at its Vault. They are most of what there is, and in them nothing has to be waited for
 * but the Vault. The checks are those of every request; where one of them has anything to say, nothing has
 * been counted or sent yet, and the request takes the long way, which says it.
 */
export function serveKnownReads(app: Server, options: KnownReadsOptions): void {
  const { limits, beginTrace, tls } = options;
  const [others] = app.server.listeners("request") as RequestListener[];
  if (!others) throw new Error("the server has no listener of Fastify's");
  let closing = false;
  app.addHook("preClose", (done) => {
    closing = true; // Fastify tells callers to close their connections
    done();
  });
  app.server.removeAllListeners("request");
  app.server.on("request", (request, response) => {
    const read = closing ? undefined : knownRead(request, options);
    if (!read || limits.orgWait(read.org.id, performance.now(), unitsOfHead(request)) > 0) {
      others(request, response);
    } else void serve(read, isList(request) ? "LIST" : "GET", response);
  });

  async function serve(read: KnownRead, verb: "GET" | "LIST", response: ServerResponse): Promise<void> {
    const { org, identity, target, upstream, token } = read;
    const requestId = randomUUID();
    const trace = beginTrace(requestId, verb, response);
    trace.org = org.id;
    trace.subject = identity.subjectHash;
    trace.route = target.route.name;
    trace.sentAt = trace.began;
    if (tls) response.setHeader(...HSTS);
    const relay = new Relay(response, trace);
    try {
      await forward(upstream, { method: "GET", path: target.path, token, requestId }, relay);
    } catch (error) {
      trace.error = error;
      if (!response.headersSent) endWithError(response, trace, error);
    }
    limits.chargeOrg(org.id, unitsOfAnswer(relay.size));
  }
}

function knownRead(request: IncomingMessage, options: KnownReadsOptions): KnownRead | undefined {
  const { admission, upstreams, logins } = options;
  const { method, httpVersion, headers, url = "" } = request;
  if (method !== "GET" || httpVersion !== "1.1") return undefined;
  if (headers["content-length"] !== undefined || headers["transfer-encoding"] !== undefined) return undefined;
  const member = admission.known(request);
  if (!member) return undefined;
  let target: Target;
  try {
    const path = canonicalPath(url);
    target = authorizePath(findRoute(path.segments), method, path);
  } catch {
    return undefined;
  }
  if (target.route.answer !== "vault") return undefined;
  const upstream = upstreams.of(member.org, member.directory);
  const token = logins.kept(upstream, member.identity);
  return token && { ...member, target, upstream, token };
}

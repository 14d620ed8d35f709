import type { ServerResponse } from "node:http";
import type { FastifyReply } from "fastify";
import { StrongroomError } from "../../shared/errors.ts";
import type { Identity } from "../../shared/front/identity/identity.ts";
import { type Refusal, TokenRefused } from "../../shared/front/identity/refused.ts";
import { TooManyRequests } from "../../shared/front/limits.ts";
import type { DirectorySource } from "../../shared/front/published/directory-source.ts";
import type { RevocationSource } from "../../shared/front/published/revocation-source.ts";
import type { Trace } from "../record/request-log.ts";
import { MethodNotAllowed } from "../route/authorize-path.ts";
import { levelOf } from "../upstream/login.ts";

/** The Vault version whose API is spoken here. */
const VERSION = "1.21.2";

/** Without a charset: hvac reads errors only from exactly this. */
const JSON_TYPE = "application/json";

/** What every answer carries. */
export const HEADERS = {
  "content-type": JSON_TYPE,
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
};

/** Answers with JSON of the gateway's own. */
export function sendJson(reply: FastifyReply, status: number, body: object): FastifyReply {
  // Bytes, since to a text Fastify adds a charset.
  return reply
    .code(status)
    .headers(HEADERS)
    .send(Buffer.from(JSON.stringify(body)));
}

/** Answers that it is done, with nothing more to say. */
export const sendDone = (reply: FastifyReply): FastifyReply =>
  reply.code(204).headers({ "cache-control": "no-store" }).send();

/** What a gateway must have before it can serve. */
export interface Published {
  directory: DirectorySource;
  revocations: RevocationSource;
}

const isReady = ({ directory, revocations }: Published): boolean =>
  directory.current !== undefined && revocations.version !== undefined;

/** The gateway's own `sys/health`: 200 once it has a directory and the revocations, 503 before. */
export function sendHealth(reply: FastifyReply, published: Published, now: Date): FastifyReply {
  const { directory, revocations } = published;
  const ready = isReady(published);
  return sendJson(reply, ready ? 200 : 503, {
    initialized: true,
    sealed: !ready,
    standby: false,
    performance_standby: false,
    replication_performance_mode: "disabled",
    replication_dr_mode: "disabled",
    server_time_utc: Math.floor(now.getTime() / 1000),
    version: VERSION,
    enterprise: false,
    cluster_name: "strongroom-gateway",
    // No versions: they count the changes, and anyone may ask. The metrics have them.
    directory: { loaded: directory.current !== undefined, refused: directory.refusal ?? null },
    revocations: { loaded: revocations.version !== undefined, refused: revocations.refusal ?? null },
  });
}

/** The gateway's own `sys/seal-status`. */
export function sendSealStatus(reply: FastifyReply, published: Published): FastifyReply {
  return sendJson(reply, 200, {
    type: "strongroom-gateway",
    initialized: true,
    sealed: !isReady(published),
    t: 0,
    n: 0,
    progress: 0,
    nonce: "",
    version: VERSION,
    build_date: "",
    migration: false,
    recovery_seal: false,
    storage_type: "none",
  });
}

/** `sys/leader`, for clients that ask it beside the seal status: where a Vault listens is no caller's business. */
export function sendLeader(reply: FastifyReply): FastifyReply {
  return sendJson(reply, 200, {
    ha_enabled: false,
    is_self: true,
    leader_address: "",
    leader_cluster_address: "",
  });
}

/** `sys/init`: an organization that is in the directory has a Vault that was initialized. */
export const sendInit = (reply: FastifyReply): FastifyReply => sendJson(reply, 200, { initialized: true });

/** `auth/token/lookup-self` from the JWT's claims, in Vault's form: `vault login` keeps the `id` as its token. */
export function sendLookupSelf(reply: FastifyReply, identity: Identity, now: Date): FastifyReply {
  const { issuedAt, expiresAt, subject, org = "" } = identity;
  const level = levelOf(identity);
  const data = {
    accessor: "",
    creation_time: issuedAt,
    creation_ttl: expiresAt - issuedAt,
    display_name: `jwt-${subject}`,
    entity_id: "",
    expire_time: new Date(expiresAt * 1000).toISOString(),
    explicit_max_ttl: 0,
    id: identity.token.reveal(),
    issue_time: new Date(issuedAt * 1000).toISOString(),
    meta: { org, role: level },
    num_uses: 0,
    orphan: true,
    path: "auth/jwt/login",
    policies: [level],
    renewable: false,
    ttl: Math.max(0, Math.floor(expiresAt - now.getTime() / 1000)),
    type: "batch",
  };
  const nothing = { lease_id: "", renewable: false, lease_duration: 0, wrap_info: null, warnings: null };
  return sendJson(reply, 200, { request_id: reply.request.id, ...nothing, data, auth: null });
}

/** Fastify's own errors that are the caller's doing, and what the caller is told. */
const CALLERS_ERRORS: Record<string, readonly [number, string]> = {
  FST_ERR_CTP_BODY_TOO_LARGE: [413, "The body is larger than 1 MiB."],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: [400, "The body's length is not the one announced."],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [415, "The body's content type is not accepted."],
};

/** What a caller is told of an error, in Vault's form. Anything unexpected is a 500 that says nothing. */
export function sendError(reply: FastifyReply, error: unknown): FastifyReply {
  const [status, message] = publicError(error);
  return sendJson(reply.headers(errorHeaders(status, error)), status, { errors: [message] });
}

/** The same, for an answer that is not Fastify's. */
export function endWithError(response: ServerResponse, { requestId }: Trace, error: unknown): void {
  const [status, message] = publicError(error);
  const body = JSON.stringify({ errors: [message] });
  response.writeHead(status, {
    ...errorHeaders(status, error),
    ...HEADERS,
    "x-request-id": requestId,
    "content-length": Buffer.byteLength(body),
  });
  response.end(body);
}

function errorHeaders(status: number, error: unknown): Record<string, string | number> {
  if (error instanceof TooManyRequests) return { "retry-after": error.retryAfterSeconds };
  if (error instanceof MethodNotAllowed) return { allow: error.allow };
  if (error instanceof TokenRefused) return { "www-authenticate": 'Bearer realm="strongroom"' };
  return status === 503 ? { "retry-after": "1" } : {};
}

/** Nothing that could be a token came. A browser or an API gateway asks for one at 401, and at nothing else. */
const NO_TOKEN: ReadonlySet<Refusal> = new Set<Refusal>(["token_missing", "authorization_scheme"]);
/** Vault's own words: its agent and others log in anew by them. */
const INVALID_TOKEN = "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n";

function publicError(error: unknown): readonly [number, string] {
  if (error instanceof TokenRefused && !NO_TOKEN.has(error.reason)) return [403, INVALID_TOKEN];
  if (error instanceof StrongroomError) return [error.status, error.message];
  const { code = "" } = error as { code?: string };
  return CALLERS_ERRORS[code] ?? [500, "Something went wrong here."];
}

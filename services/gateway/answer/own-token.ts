import type { FastifyReply } from "fastify";
import type { Identity } from "../../shared/front/identity/authenticator.ts";
import { requireLevel } from "../../shared/front/levels.ts";
import { found } from "../../shared/front/passage.ts";
import type { Dependencies } from "../dependencies.ts";
import type { Handler } from "./handler.ts";
import { askAboutMachine } from "./machine-token.ts";
import { sendJson } from "./send.ts";

/** `auth/token/lookup-self`: for a JWT, answered from its claims. */
export const answerLookupSelf =
  ({ now }: Dependencies): Handler =>
  (asked) =>
    asked.passage.machine
      ? askAboutMachine(asked)
      : sendLookupSelf(asked.reply, found("caller", asked.passage.identity), new Date(now()));

/** `auth/token/renew-self`: for a JWT, the JWT unchanged, with the seconds it has left. */
export const answerRenewSelf =
  ({ now }: Dependencies): Handler =>
  (asked) =>
    asked.passage.machine
      ? askAboutMachine(asked)
      : sendAuth(asked.reply, found("caller", asked.passage.identity), new Date(now()), NOT_RENEWED);

const NOT_RENEWED =
  "A JWT cannot be renewed. Get a new one from your identity provider before this one expires.";

/** The JWT's claims in the form of Vault's token lookup: `vault login` keeps the `id` as its token. */
function sendLookupSelf(reply: FastifyReply, identity: Identity, now: Date): FastifyReply {
  const { issuedAt, expiresAt, subject, org = "" } = identity;
  const level = requireLevel(identity);
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

/** Vault's response to a login or a renewal; the token in it is the caller's own JWT. */
export function sendAuth(reply: FastifyReply, identity: Identity, now: Date, warning?: string): FastifyReply {
  const level = requireLevel(identity);
  return sendJson(reply, 200, {
    request_id: reply.request.id,
    lease_id: "",
    renewable: false,
    lease_duration: 0,
    data: null,
    wrap_info: null,
    warnings: warning === undefined ? null : [warning],
    auth: {
      client_token: identity.token.reveal(),
      accessor: "",
      policies: [level],
      token_policies: [level],
      metadata: { org: identity.org ?? "", role: level },
      lease_duration: Math.max(0, Math.floor(identity.expiresAt - now.getTime() / 1000)),
      renewable: false,
      entity_id: "",
      token_type: "batch",
      orphan: true,
      mfa_requirement: null,
      num_uses: 0,
    },
  });
}

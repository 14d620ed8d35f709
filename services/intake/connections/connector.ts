import type { FastifyRequest } from "fastify";
import type { By } from "../../shared/receipts/receipt.ts";
import { callerOf, memberOf } from "../http/caller.ts";

/** The member who connects, as the intake has verified them; the broker verifies the token itself. */
export interface Connector {
  org: string;
  /** The request's id. */
  id: string;
  token: string;
  /** Digests issuer and subject. */
  digest: string;
  by: Extract<By, { subject: string }>;
}

/** The member whose request this is. */
export function connectorOf(request: FastifyRequest): Connector {
  const { org, level, subject: digest } = callerOf(request);
  const { issuer, subject, token } = memberOf(request).identity;
  const by = { issuer: issuer.issuer, subject, level };
  return { org, id: request.id, token: token.reveal(), digest, by };
}

import type { FastifyRequest } from "fastify";
import type { By } from "../../shared/receipts/receipt.ts";
import { memberOf, receiptBy } from "../http/caller.ts";

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
  const member = memberOf(request);
  const { subjectHash: digest, token } = member.identity;
  return { org: member.org, id: request.id, token: token.reveal(), digest, by: receiptBy(member) };
}

import type { FastifyRequest } from "fastify";
import { found } from "../../shared/front/passage.ts";
import type { By } from "../../shared/receipts/receipt.ts";
import { callerOf } from "../http/caller.ts";

/** Who connects, as the intake has verified them; the broker verifies the token itself. */
export interface Member {
  org: string;
  /** The request's id. */
  id: string;
  token: string;
  /** Digests issuer and subject. */
  digest: string;
  by: Extract<By, { subject: string }>;
}

/** The member whose request this is. */
export function memberOf(request: FastifyRequest): Member {
  const { org, level, subject: digest } = callerOf(request);
  const { issuer, subject, token } = found("caller", found("caller", request.caller).identity);
  const by = { issuer: issuer.issuer, subject, level };
  return { org, id: request.id, token: token.reveal(), digest, by };
}

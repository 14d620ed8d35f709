import type { FastifyRequest } from "fastify";
import type { RuleCaller } from "../../shared/broker/rules.ts";
import type { Identity } from "../../shared/front/identity/authenticator.ts";
import { levelOf, requireLevel } from "../../shared/front/levels.ts";
import { found, type Passage } from "../../shared/front/passage.ts";
import type { Level } from "../../shared/org.ts";
import type { By } from "../../shared/receipts/receipt.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** The checks' findings about the caller. */
    caller: Passage | undefined;
  }
}

/** A member of an organization. */
export interface Caller {
  /** The organization's id. */
  org: string;
  level: Level;
  /** Digests issuer and subject: the same for the same person. */
  subject: string;
}

/** The caller of a route that needs a level. Throws if no check has let one in. */
export function callerOf(request: FastifyRequest): Caller {
  const { org, identity } = memberOf(request);
  return { org, level: requireLevel(identity), subject: identity.subjectHash };
}

/** A member with what its JWT says, for routes that need a right, and for what the broker verifies itself. */
export interface Member {
  /** The organization's id. */
  org: string;
  /** Undefined if the token has only rights. */
  level: Level | undefined;
  identity: Identity;
}

/** The caller of a route that is not open. Throws if no check has let one in. */
export function memberOf(request: FastifyRequest): Member {
  const passage = found("caller", request.caller);
  const identity = found("caller", passage.identity);
  return { org: passage.org.id, level: levelOf(identity), identity };
}

/** A member, as receipts name them. */
export const receiptBy = ({ level, identity: { issuer, subject } }: Member): MemberBy => ({
  ...{ issuer: issuer.issuer, subject, ...(level && { level }) },
});
type MemberBy = Extract<By, { subject: string }>;

/** A member who has a level, with what the JWT says. */
export interface UseMember extends Member {
  level: Level;
}

/** A member, as rules see them. */
export const ruleCaller = ({ level, identity: { groups, subject } }: UseMember): RuleCaller => ({
  ...{ level, groups, subject },
});

/** {@link memberOf} a route that needs a level. */
export const useMemberOf = (request: FastifyRequest): UseMember => ({
  ...memberOf(request),
  level: callerOf(request).level,
});

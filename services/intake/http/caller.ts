import type { FastifyRequest } from "fastify";
import { levelOf } from "../../shared/front/levels.ts";
import { found, type Passage } from "../../shared/front/passage.ts";
import type { Level } from "../../shared/org.ts";

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
  const passage = found("caller", request.caller);
  const identity = found("caller", passage.identity);
  return { org: passage.org.id, level: levelOf(identity), subject: identity.subjectHash };
}

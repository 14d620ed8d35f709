import { StrongroomError } from "../../shared/errors.ts";
import type { Authenticator } from "../../shared/front/identity/authenticator.ts";
import { levelOf } from "../../shared/front/levels.ts";
import type { DirectorySource } from "../../shared/front/published/directory-source.ts";
import type { RevocationSource } from "../../shared/front/published/revocation-source.ts";
import { resolveOrgNow } from "../../shared/front/resolve-org.ts";
import type { Level } from "../../shared/org.ts";
import { UseFailure } from "./use-failure.ts";

/** A member of an organization, as the broker itself has verified by their token. */
export interface VerifiedCaller {
  /** The organization's id. */
  org: string;
  issuer: string;
  /** The token's `sub`. */
  subject: string;
  level: Level;
  groups: readonly string[];
}

/** Who sends a call. */
export interface CallerClaim {
  token: string;
  org: string;
}

export interface CallerParts {
  directory: DirectorySource;
  revocations: RevocationSource;
  authenticator: Authenticator;
}

/**
 * Verifies callers by the broker's own copies of what is published: the token's signature and claims, that it is not revoked,
 * that its organization is the one that the call names. Throws UseFailure `unauthenticated`, `forbidden`, and `internal` while
 * nothing is published.
 */
export function callerVerifier({ directory, revocations, authenticator }: CallerParts) {
  return async ({ token, org }: CallerClaim): Promise<VerifiedCaller> => {
    const { current } = directory;
    if (!current || revocations.version === undefined) throw notYet();
    try {
      const identity = await authenticator.verify(token);
      const found = current.find(identity.issuer.issuer, identity.org ?? "");
      const resolved = found ?? (await resolveOrgNow(directory, current, identity)).org;
      if (resolved.id !== org) throw new UseFailure("forbidden", "the token is of another organization");
      if (revocations.isRevoked(resolved, identity)) throw unauthenticated();
      const level = levelOf(identity);
      if (level === undefined) throw new UseFailure("forbidden", "the token has no level");
      const { issuer, subject, groups } = identity;
      return { org, issuer: issuer.issuer, subject, level, groups };
    } catch (error) {
      if (error instanceof StrongroomError) throw asUseFailure(error);
      throw error;
    }
  };
}
export type VerifyCaller = ReturnType<typeof callerVerifier>;

function asUseFailure({ code }: StrongroomError): UseFailure {
  if (code === "unauthenticated") return unauthenticated();
  return code === "forbidden"
    ? new UseFailure("forbidden", "the token is of no organization here")
    : notYet();
}

const unauthenticated = () => new UseFailure("unauthenticated", "the broker does not accept the token");
const notYet = () =>
  new UseFailure("internal", "the broker cannot verify the token now", { retryAfterSeconds: 1 });

import { StrongroomError } from "../errors.ts";
import { checkHeaders } from "./check-headers.ts";
import { unitsOfBody, unitsOfHead } from "./cost.ts";
import type { Authenticator } from "./identity/authenticator.ts";
import { TokenRefused } from "./identity/refused.ts";
import { requestToken } from "./identity/token.ts";
import { type Limits, TooManyRequests } from "./limits.ts";
import { type Check, found, type Passage } from "./passage.ts";
import type { DirectorySource } from "./published/directory-source.ts";
import type { RevocationSource } from "./published/revocation-source.ts";
import { resolveOrg, resolveOrgNow } from "./resolve-org.ts";
import { announcedBytes } from "./uploads.ts";

export interface FrontOptions {
  directory: DirectorySource;
  revocations: RevocationSource;
  authenticator: Authenticator;
  limits: Limits;
  /** Called with a caller whose token turned out to be revoked: what was kept for it has to go. */
  onRevoked?(passage: Passage): void;
}

/**
 * The checks of a caller, in the order in which a service lists them: who is it, of which organization, not revoked,
 * not too often, and naming no other organization. A machine's token, which a check before them may have taken, is
 * judged by the organization's Vault and passes {@link token} to {@link charge} as it is.
 */
export function callerChecks({ directory, revocations, authenticator, limits, onRevoked }: FrontOptions) {
  /** Recognizes a JWT that was verified before. */
  const recall: Check = {
    run(passage) {
      const { current } = directory;
      const identity = current && authenticator.recall(passage.raw);
      if (!identity) return passage.isPatient ? undefined : "gives up";
      passage.identity = identity;
      passage.directory = current;
      passage.trace.subject = identity.subjectHash;
      return undefined;
    },
  };

  /** An address that owes for requests that came to nothing waits, unless it presents a JWT that is known. */
  const address: Check = {
    run({ identity, address, trace }) {
      const wait = limits.addressWait(address, trace.began);
      if (wait > 0 && !identity) throw new TooManyRequests("address", wait);
      return undefined;
    },
  };

  /**
   * Verifies the JWT. Throws TokenRefused, `issuer_keys_unreachable`, or `directory_unavailable` without the
   * directory that names the issuers.
   */
  const token: Check = {
    run(passage) {
      return passage.identity || passage.machine ? undefined : verify(passage);
    },
  };
  async function verify(passage: Passage): Promise<undefined> {
    const presented = passage.token ?? requestToken(passage.raw);
    const { current } = directory;
    if (!current) {
      throw new StrongroomError("directory_unavailable", "There is no directory of organizations here yet.");
    }
    passage.identity = await authenticator.verify(presented);
    passage.directory = current;
    passage.trace.subject = passage.identity.subjectHash;
    return undefined;
  }

  /**
   * Finds the organization by the JWT's pair (issuer, claim). Throws `forbidden` if there is none, and
   * `directory_unavailable` if that cannot be known; who is of no organization known here pays by the address.
   */
  const organization: Check = {
    run(passage) {
      if (passage.machine) return undefined;
      const org = resolveOrg(passage.directory, found("caller", passage.identity));
      if (!org) return passage.isPatient ? findOrgNow(passage) : "gives up";
      passage.org = org;
      return undefined;
    },
  };
  async function findOrgNow(passage: Passage): Promise<undefined> {
    const { address, trace } = passage;
    try {
      const identity = found("caller", passage.identity);
      const resolved = await resolveOrgNow(directory, passage.directory, identity);
      passage.org = resolved.org;
      passage.directory = resolved.directory;
      return undefined;
    } catch (error) {
      const isUnknown = error instanceof StrongroomError && error.code === "directory_unavailable";
      if (isUnknown) limits.countAddress(address, trace.began);
      throw error;
    }
  }

  /** Refuses a revoked JWT: TokenRefused. Throws `revocations_unavailable` before the first list has come. */
  const revocation: Check = {
    run(passage) {
      const { machine, org, address, trace } = passage;
      if (machine) return undefined;
      if (revocations.version === undefined) {
        throw new StrongroomError("revocations_unavailable", "There is no list of revocations here yet.");
      }
      if (passage.mayBeRevoked || !revocations.isRevoked(org, found("caller", passage.identity)))
        return undefined;
      if (!passage.isPatient) return "gives up";
      onRevoked?.(passage);
      limits.countAddress(address, trace.began); // no member's any more: the organization does not pay
      throw new TokenRefused("revoked");
    },
  };

  /** Has the organization pay for the request, and for the body that it announces. Throws TooManyRequests. */
  const charge: Check = {
    counts: true,
    run(passage) {
      if (!passage.machine) chargeOrg(limits, passage);
      return undefined;
    },
  };

  /** Refuses headers that name another organization or a namespace. */
  const headers: Check = {
    run({ raw, org }) {
      checkHeaders(raw.headers, org.id);
      return undefined;
    },
  };

  return { recall, address, token, organization, revocation, charge, headers };
}

/** Has an organization pay for a request, and for the body that it announces. Throws TooManyRequests. */
export function chargeOrg(limits: Limits, { raw, org, trace }: Passage): void {
  const wait = limits.orgWait(org.id, trace.began, unitsOfHead(raw) + unitsOfBody(announcedBytes(raw)));
  if (wait > 0) throw new TooManyRequests("org", wait);
}

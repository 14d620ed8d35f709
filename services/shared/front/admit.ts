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
  /** Called with a caller whose token is revoked, to drop what is kept for it. */
  onRevoked?(passage: Passage): void;
}

/**
 * The checks of a caller, in the order in which a service lists them: authenticated, member of an organization, not
 * revoked, within the rate limit, and naming no other organization. A machine token, which an earlier check may have
 * taken, is verified by the organization's Vault and skips {@link token} to {@link charge}.
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

  /**
   * Refuses an address over its limit for failed requests, unless the JWT was verified before. Throws TooManyRequests.
   */
  const address: Check = {
    run({ identity, address, trace }) {
      const wait = limits.addressWait(address, trace.began);
      if (wait > 0 && !identity) throw new TooManyRequests("address", wait);
      return undefined;
    },
  };

  /**
   * Verifies the JWT. Throws TokenRefused, `issuer_keys_unreachable`, or `directory_unavailable` if no directory, which
   * names the issuers, has been loaded.
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
      const detail = "No directory of organizations has been loaded yet. Try again in a moment.";
      throw new StrongroomError("directory_unavailable", detail);
    }
    passage.identity = await authenticator.verify(presented);
    passage.directory = current;
    passage.trace.subject = passage.identity.subjectHash;
    return undefined;
  }

  /**
   * Finds the organization by the JWT's pair (issuer, claim). Throws `forbidden` if there is none, and
   * `directory_unavailable` if that cannot be determined, which is charged to the client's address.
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

  /** Refuses a revoked JWT: TokenRefused. Throws `revocations_unavailable` if no list has been loaded. */
  const revocation: Check = {
    run(passage) {
      const { machine, org, address, trace } = passage;
      if (machine) return undefined;
      if (revocations.version === undefined) {
        const detail = "No revocation list has been loaded yet. Try again in a moment.";
        throw new StrongroomError("revocations_unavailable", detail);
      }
      if (passage.mayBeRevoked || !revocations.isRevoked(org, found("caller", passage.identity)))
        return undefined;
      if (!passage.isPatient) return "gives up";
      onRevoked?.(passage);
      limits.countAddress(address, trace.began); // no longer a member's: not charged to the organization
      throw new TokenRefused("revoked");
    },
  };

  /** Charges the request and its announced body to the organization. Throws TooManyRequests. */
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

/** Charges a request and its announced body to an organization. Throws TooManyRequests. */
export function chargeOrg(limits: Limits, { raw, org, trace }: Passage): void {
  const wait = limits.orgWait(org.id, trace.began, unitsOfHead(raw) + unitsOfBody(announcedBytes(raw)));
  if (wait > 0) throw new TooManyRequests("org", wait);
}

import type { IncomingMessage } from "node:http";
import type { FastifyRequest } from "fastify";
import type { Logins } from "../../gateway/upstream/login.ts";
import { StrongroomError } from "../errors.ts";
import type { Caller } from "./authenticate.ts";
import { checkHeaders } from "./check-headers.ts";
import { unitsOfBody, unitsOfHead } from "./cost.ts";
import type { Identity } from "./identity/identity.ts";
import { TokenRefused } from "./identity/refused.ts";
import { type Limits, TooManyRequests } from "./limits.ts";
import type { MachineCaller, MachineCallers } from "./machine-callers.ts";
import type { DirectoryOrg, DirectorySource, LoadedDirectory } from "./published/directory-source.ts";
import type { RevocationSource } from "./published/revocation-source.ts";
import { type ResolvedOrg, resolveOrg, resolveOrgNow } from "./resolve-org.ts";
import { announcedBytes } from "./uploads.ts";

/** Someone with a JWT, and the organization that it shows. */
export interface Member extends Caller {
  identity: Identity;
  org: DirectoryOrg;
}

/** A machine with a token of its organization's Vault, which alone can tell whether it is good. */
export interface Machine extends MachineCaller {
  directory: LoadedDirectory;
}

export interface AdmissionOptions {
  directory: DirectorySource;
  revocations: RevocationSource;
  authenticate(request: FastifyRequest, token: string): Promise<Caller>;
  recall(request: IncomingMessage): Caller | undefined;
  limits: Limits;
  logins: Logins;
  machines: MachineCallers;
}

/** Lets callers in, in this order: who is it, of which organization, not revoked, not too often. */
export interface Admission {
  /**
   * The member whose JWT it is. Throws TokenRefused (401), `forbidden` where the organization is unknown,
   * `directory_unavailable` where that cannot be known, TooManyRequests, `revocations_unavailable`, and what the
   * other checks throw.
   */
  member(request: FastifyRequest, token: string, options?: { mayBeRevoked?: boolean }): Promise<Member>;
  /**
   * The member whose JWT a request has, by the same checks, where it was verified before and none of them has
   * anything against it; otherwise {@link Admission.member} is asked, and says what. Counts nothing.
   */
  known(request: IncomingMessage): Member | undefined;
  /** Has an organization pay for a request, and for the body that it announces. Throws TooManyRequests. */
  charge(request: FastifyRequest, org: DirectoryOrg): void;
  /** The machine that presents a token; undefined where the token is no machine's. */
  machine(request: FastifyRequest, token: string): Machine | undefined;
}

export function createAdmission(options: AdmissionOptions): Admission {
  const { directory, revocations, authenticate, recall, limits, logins, machines } = options;
  const charge: Admission["charge"] = ({ raw, trace }, { id }) => {
    const wait = limits.orgWait(id, trace.began, unitsOfHead(raw) + unitsOfBody(announcedBytes(raw)));
    if (wait > 0) throw new TooManyRequests("org", wait);
  };

  /** Who is of no organization known here pays by the address, whether or not that can be confirmed. */
  async function placed(
    request: FastifyRequest,
    { directory: held, identity }: Caller,
  ): Promise<ResolvedOrg> {
    try {
      return await resolveOrgNow(directory, held, identity);
    } catch (error) {
      const isUnknown = error instanceof StrongroomError && error.code === "directory_unavailable";
      if (isUnknown) limits.countAddress(request.ip, request.trace.began);
      throw error;
    }
  }

  return {
    charge,

    async member(request, token, { mayBeRevoked = false } = {}) {
      const { trace } = request;
      const caller = await authenticate(request, token);
      trace.subject = caller.identity.subjectHash;
      const { org, directory: held } = await placed(request, caller);
      trace.org = org.id;
      if (revocations.version === undefined) {
        throw new StrongroomError("revocations_unavailable", "The gateway has no list of revocations yet.");
      }
      if (!mayBeRevoked && revocations.isRevoked(org, caller.identity)) {
        logins.forget(org.id, caller.identity);
        limits.countAddress(request.ip, trace.began); // no member's any more: the organization does not pay
        throw new TokenRefused("revoked");
      }
      charge(request, org);
      checkHeaders(request.headers, org.id);
      return { ...caller, org, directory: held };
    },

    known(request) {
      const caller = recall(request);
      if (!caller || revocations.version === undefined) return undefined;
      try {
        const org = resolveOrg(caller.directory, caller.identity);
        if (!org) return undefined;
        if (revocations.isRevoked(org, caller.identity)) return undefined;
        checkHeaders(request.headers, org.id);
        return { ...caller, org };
      } catch {
        return undefined;
      }
    },

    machine(request, presented) {
      const { current } = directory;
      if (!machines.isMachines(presented) || !current) return undefined;
      const caller = machines.admit(presented, request.ip, current);
      request.trace.org = caller.org.id;
      request.trace.subject = caller.subjectHash;
      checkHeaders(request.headers, caller.org.id);
      return { ...caller, directory: current };
    },
  };
}

/**
 * The front: what stands before an internet-facing service does anything for a caller. Who is it, of which
 * organization, is the token still good, is it asking too often? A service lists the checks that it wants, in order;
 * each refuses by throwing, or adds what it has found out to the {@link Passage}.
 *
 * It holds public keys alone: those of issuers, and of whoever signs what is published to gateways. It never takes
 * the organization from a header, a path or a host, and never asks an issuer that the directory does not name.
 *
 * Begin reading here, then at `admit.ts`: the checks of a caller. `identity/` verifies tokens, `published/` polls and
 * verifies the directory and the revocations, `resolve-org.ts` finds the organization of an issuer and a claim,
 * `limits.ts` charges callers for what their requests cost (`cost.ts`, `rate-limit.ts`, `uploads.ts`).
 */
import type { IncomingMessage } from "node:http";
import type { Identity } from "./identity/authenticator.ts";
import type { MachineCaller } from "./machine-callers.ts";
import type { DirectoryOrg, LoadedDirectory } from "./published/directory-source.ts";

/** What a request's log line says about its caller. */
export interface CallerTrace {
  /** When the request arrived, by `performance.now()`. */
  readonly began: number;
  /** The organization's id. */
  org: string | undefined;
  /** A digest of the subject: the log names nobody. */
  subject: string | undefined;
}

/** A request on its way through the checks, with their findings. Reading a finding before its check throws. */
export class Passage {
  readonly raw: IncomingMessage;
  /** The client's address, or the one that the proxy reports. */
  readonly address: string | undefined;
  readonly trace: CallerTrace;
  /**
   * Whether checks may wait, and refuse with a reason. For a request that is not patient they give up instead, with
   * nothing sent and nothing counted.
   */
  readonly isPatient: boolean;
  /** The token to verify, if it is not the one in the headers. */
  token: string | undefined;
  /** A revoked token may be revoked again, since other services may not have been notified. */
  mayBeRevoked = false;
  /** The identity in the verified JWT. */
  identity: Identity | undefined;
  /** The machine token's caller. Only the organization's Vault can verify that token. */
  machine: MachineCaller | undefined;
  #org: DirectoryOrg | undefined;
  #directory: LoadedDirectory | undefined;

  constructor(
    raw: IncomingMessage,
    address: string | undefined,
    trace: CallerTrace,
    { isPatient }: { isPatient: boolean },
  ) {
    this.raw = raw;
    this.address = address;
    this.trace = trace;
    this.isPatient = isPatient;
  }

  /** The organization that the caller belongs to. */
  get org(): DirectoryOrg {
    return found("organization", this.#org);
  }

  set org(org: DirectoryOrg) {
    this.#org = org;
    this.trace.org = org.id;
  }

  /** The directory used for the whole request, even if a newer one arrives meanwhile. */
  get directory(): LoadedDirectory {
    return found("directory", this.#directory);
  }

  set directory(directory: LoadedDirectory) {
    this.#directory = directory;
  }
}

/** A check's finding. Throws if there is none, so a pipeline that omits a check serves nobody. */
export function found<T>(what: string, value: T | undefined): T {
  if (value === undefined) throw new Error(`no check has determined the ${what}`);
  return value;
}

/** How a check ends the pipeline early: the request is admitted, or cannot proceed without waiting. */
export type Verdict = "admitted" | "gives up";

/** One of the checks that requests pass in order. It throws to refuse a request. */
export interface Check<P extends Passage = Passage> {
  /** True if it counts the request: for a request that may give up it runs last. */
  counts?: true;
  run(passage: P): undefined | Verdict | Promise<undefined | Verdict>;
}

/** Runs the checks in order on a patient passage. Throws the error of the check that refuses it. */
export async function pass<P extends Passage>(checks: readonly Check<P>[], passage: P): Promise<void> {
  for (const check of checks) {
    const verdict = check.run(passage);
    if ((verdict instanceof Promise ? await verdict : verdict) === "admitted") return;
  }
}

/** Whether a passage that is not patient passes all checks without waiting; those that count must come last. */
export function passAtOnce<P extends Passage>(checks: readonly Check<P>[], passage: P): boolean {
  try {
    for (const check of checks) if (check.run(passage) !== undefined) return false;
    return true;
  } catch {
    return false;
  }
}

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
import type { Identity } from "./identity/identity.ts";
import type { MachineCaller } from "./machine-callers.ts";
import type { DirectoryOrg, LoadedDirectory } from "./published/directory-source.ts";

/** What a request's line in the log says of its caller. */
export interface CallerTrace {
  /** When the request came, by `performance.now()`. */
  readonly began: number;
  /** The organization's id. */
  org: string | undefined;
  /** A digest: the log names nobody. */
  subject: string | undefined;
}

/** A request on its way through the checks, with what they have found out. What none has found cannot be read. */
export class Passage {
  readonly raw: IncomingMessage;
  /** The client's, or its proxy's last word on it. */
  readonly address: string | undefined;
  readonly trace: CallerTrace;
  /**
   * Whether checks wait for what they need, and refuse with a reason. One that is not patient gives up instead, with
   * nothing sent and nothing counted.
   */
  readonly isPatient: boolean;
  /** The token that counts; undefined until it is known which. */
  token: string | undefined;
  /** A token that was ended may be ended again: other services may not have been told. */
  mayBeRevoked = false;
  /** Whose JWT it is. */
  identity: Identity | undefined;
  /** Whose machine's token it is. Whether it is good only the organization's Vault can tell. */
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

  /** The directory that the whole request goes by, though a newer one may come meanwhile. */
  get directory(): LoadedDirectory {
    return found("directory", this.#directory);
  }

  set directory(directory: LoadedDirectory) {
    this.#directory = directory;
  }
}

/** What a check has found. Throws if none has: an order of checks that leaves one out serves nobody. */
export function found<T>(what: string, value: T | undefined): T {
  if (value === undefined) throw new Error(`no check has found the ${what}`);
  return value;
}

/** How a check ends the order early: nothing is left to check, or it cannot go on without waiting. */
export type Verdict = "admitted" | "gives up";

/** One of the checks that requests pass in order. It throws what it refuses a request with. */
export interface Check<P extends Passage = Passage> {
  /** True if it counts the request: one that may give up comes to it last. */
  counts?: true;
  run(passage: P): undefined | Verdict | Promise<undefined | Verdict>;
}

/** Has a patient passage pass the checks, in their order. Throws what one of them refuses it with. */
export async function pass<P extends Passage>(checks: readonly Check<P>[], passage: P): Promise<void> {
  for (const check of checks) {
    const verdict = check.run(passage);
    if ((verdict instanceof Promise ? await verdict : verdict) === "admitted") return;
  }
}

/** Whether a passage that is not patient passes the checks, all at once; those that count come last. */
export function passAtOnce<P extends Passage>(checks: readonly Check<P>[], passage: P): boolean {
  try {
    for (const check of checks) if (check.run(passage) !== undefined) return false;
    return true;
  } catch {
    return false;
  }
}

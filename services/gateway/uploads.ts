import type { IncomingMessage, ServerResponse } from "node:http";
import { TooManyRequests } from "./limits.ts";

const MIB = 1024 * 1024;
/** As much as a body may be; one in chunks may come to it. */
const LARGEST = MIB;
/** What a body counts at least, for all that belongs to it. */
const SMALLEST = 1024;
/** Bytes of one organization's bodies at once, and of all. */
const MAX_OF_ORG = 32 * MIB;
const MAX_OF_ALL = 256 * MIB;

/**
 * How much of bodies is being received or held: members who send theirs slowly, each within its time, must not
 * fill the memory between them.
 */
export class Uploads {
  readonly #byOrg = new Map<string, number>();
  #all = 0;

  /** Counts a request's body, if it has one, until its answer has ended. Throws {@link TooManyRequests}. */
  admit(org: string, { headers }: IncomingMessage, response: ServerResponse): void {
    const bytes = announced(headers);
    if (bytes === 0) return;
    const ofOrg = this.#byOrg.get(org) ?? 0;
    if (ofOrg + bytes > MAX_OF_ORG || this.#all + bytes > MAX_OF_ALL) {
      throw new TooManyRequests("uploads", 1_000);
    }
    this.#byOrg.set(org, ofOrg + bytes);
    this.#all += bytes;
    response.once("close", () => {
      const left = (this.#byOrg.get(org) ?? bytes) - bytes;
      if (left > 0) this.#byOrg.set(org, left);
      else this.#byOrg.delete(org);
      this.#all -= bytes;
    });
  }
}

/** The bytes that a request's body is counted as; 0 without one. */
function announced(headers: IncomingMessage["headers"]): number {
  if (headers["transfer-encoding"] !== undefined) return LARGEST;
  const length = Number(headers["content-length"] ?? 0);
  return length === 0 ? 0 : Math.min(Math.max(length, SMALLEST), LARGEST);
}

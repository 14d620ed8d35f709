import type { IncomingMessage, ServerResponse } from "node:http";
import { TooManyRequests } from "./limits.ts";

/** Bodies of one organization's members at once, and of all; each may be held here with up to 1 MiB. */
const MAX_OF_ORG = 32;
const MAX_OF_ALL = 256;

/**
 * How many bodies are being received or held: members who send theirs slowly, each within its time, must not
 * fill the memory between them.
 */
export class Uploads {
  readonly #byOrg = new Map<string, number>();
  #all = 0;

  /** Counts a request's body, if it has one, until its answer has ended. Throws {@link TooManyRequests}. */
  admit(org: string, { headers }: IncomingMessage, response: ServerResponse): void {
    const { "content-length": length = "0", "transfer-encoding": coding } = headers;
    if (length === "0" && coding === undefined) return;
    const ofOrg = this.#byOrg.get(org) ?? 0;
    if (ofOrg >= MAX_OF_ORG || this.#all >= MAX_OF_ALL) throw new TooManyRequests("uploads", 1_000);
    this.#byOrg.set(org, ofOrg + 1);
    this.#all++;
    response.once("close", () => {
      const left = (this.#byOrg.get(org) ?? 1) - 1;
      if (left > 0) this.#byOrg.set(org, left);
      else this.#byOrg.delete(org);
      this.#all--;
    });
  }
}

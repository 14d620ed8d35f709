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
  readonly #received: ((org: string, bytes: number) => void) | undefined;
  #all = 0;

  /** `received` is told how long a body has been that did not announce it. */
  constructor(received?: (org: string, bytes: number) => void) {
    this.#received = received;
  }

  /** Counts a request's body, if it has one, until its answer has ended. Throws {@link TooManyRequests}. */
  admit(org: string, request: IncomingMessage, response: ServerResponse): void {
    const { headers, socket } = request;
    const bytes = countedAs(headers);
    // Whoever went away meanwhile has no end any more that it would be counted until.
    if (bytes === 0 || response.destroyed) return;
    const ofOrg = this.#byOrg.get(org) ?? 0;
    if (ofOrg + bytes > MAX_OF_ORG || this.#all + bytes > MAX_OF_ALL) {
      throw new TooManyRequests("uploads", 1_000);
    }
    this.#byOrg.set(org, ofOrg + bytes);
    this.#all += bytes;
    const before = socket.bytesRead;
    const isChunked = headers["transfer-encoding"] !== undefined;
    response.once("close", () => {
      // By what has come over the connection: a body may be broken off, or be longer than what is taken.
      if (isChunked) this.#received?.(org, socket.bytesRead - before);
      const left = (this.#byOrg.get(org) ?? bytes) - bytes;
      if (left > 0) this.#byOrg.set(org, left);
      else this.#byOrg.delete(org);
      this.#all -= bytes;
    });
  }
}

/** Takes what still comes of a body that is not wanted, so that its caller reads the answer; never more than a body may be. */
export function drain(request: IncomingMessage): void {
  let left = LARGEST;
  request.on("data", (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) request.socket.destroy();
  });
}

/** How long a request says that its body is, in bytes; 0 where it does not. */
export const announcedBytes = ({ headers }: IncomingMessage): number =>
  Math.min(Number(headers["content-length"] ?? 0), LARGEST);

/** Whether a request has a body. */
export const hasBody = (request: IncomingMessage): boolean => countedAs(request.headers) !== 0;

/** The bytes that a request's body is counted as; 0 without one. */
function countedAs(headers: IncomingMessage["headers"]): number {
  if (headers["transfer-encoding"] !== undefined) return LARGEST;
  const length = Number(headers["content-length"] ?? 0);
  return length === 0 ? 0 : Math.min(Math.max(length, SMALLEST), LARGEST);
}

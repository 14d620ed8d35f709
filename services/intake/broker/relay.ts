import type { FastifyReply } from "fastify";
import type { AnswerHead } from "../../shared/broker/calls.ts";
import { answerHeaders } from "./headers.ts";

/** An answer's head waits so long for its first bytes: until then a failure can still be told as a problem. */
const HEAD_WAITS_MS = 100;
const WITHOUT_BODY = new Set([204, 205, 304]);

/** A destination's answer on its way to the caller, no faster than the caller reads it. */
export class Relay {
  readonly #reply: FastifyReply;
  readonly #receipt: string;
  #head: AnswerHead | undefined;
  #timer: NodeJS.Timeout | undefined;
  #received = 0;

  constructor(reply: FastifyReply, receipt: string) {
    this.#reply = reply;
    this.#receipt = receipt;
  }

  /** Whether the caller has got the beginning of an answer. */
  get hasBegun(): boolean {
    return this.#reply.raw.headersSent;
  }

  get status(): number | undefined {
    return this.#head?.status;
  }

  /** Bytes of the answer's body so far. */
  get received(): number {
    return this.#received;
  }

  /**
   * Takes the answer's head, which is sent with the first bytes, or after a moment without any. Throws an error for one that
   * cannot be passed on.
   */
  head({ status, headers }: AnswerHead): void {
    this.#head = { status, headers: answerHeaders(headers) };
    this.#timer = setTimeout(() => this.#begin(), HEAD_WAITS_MS);
  }

  /** Sends parts of the body, and ends the answer with them if they are the last. False: the caller reads more slowly. */
  body(chunks: Buffer[], isLast: boolean): boolean {
    for (const { length } of chunks) this.#received += length;
    const { raw } = this.#reply;
    if (isLast && !this.hasBegun) {
      const whole = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
      this.#begin(whole.length);
      raw.end(whole);
      return true;
    }
    this.#begin();
    let hasRoom = true;
    for (const chunk of chunks) hasRoom = raw.write(chunk);
    if (isLast) raw.end();
    return hasRoom;
  }

  drained(then: () => void): void {
    this.#reply.raw.once("drain", then);
  }

  /** Ends an answer that will not be whole: the connection breaks, so that nobody takes it for whole. */
  cut(): void {
    clearTimeout(this.#timer);
    if (this.hasBegun) this.#reply.raw.destroy();
  }

  #begin(length?: number): void {
    clearTimeout(this.#timer);
    const { raw, request } = this.#reply;
    const head = this.#head;
    if (this.hasBegun || raw.destroyed || !head) return;
    this.#reply.hijack();
    const hasLength = length !== undefined && request.method !== "HEAD" && !WITHOUT_BODY.has(head.status);
    raw.writeHead(
      head.status,
      [
        ...head.headers,
        ["Strongroom-Answer", "destination"],
        ["Strongroom-Receipt", this.#receipt],
        ["X-Request-Id", request.id],
        ["Cache-Control", "no-store"],
        ["X-Content-Type-Options", "nosniff"],
        ...(hasLength ? [["Content-Length", String(length)]] : []),
      ].flat(),
    );
  }
}

import type { ServerResponse } from "node:http";
import type { Dispatcher } from "undici";
import type { Trace } from "../../shared/front/request-log.ts";
import { HEADERS } from "../answer/send.ts";
import type { AnswerHandler } from "./forward.ts";
import { isAnswer, serverError } from "./server-error.ts";

/** Vault stores at most 1 MiB in an entry; only long lists are larger. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;

const MAX_WITHHELD = 4_096;

/** How long a caller may stop reading before it is disconnected. */
const MAX_PAUSE_MS = 10_000;

/** Relays whose answers completed in this event-loop turn. */
let complete: Relay[] = [];

/**
 * Ends the responses of a turn together. Each write wakes its reader; if writes follow one another at once, the reader
 * is mostly awake already, and a write costs less.
 */
function endAnswers(): void {
  const relays = complete;
  complete = [];
  for (const relay of relays) relay.end();
}

interface RelayOptions {
  /** Called before the response begins. */
  begins?: () => void;
  /** Relays a 5xx as well: for `sys/health` it is a proper answer. */
  anyStatus?: boolean;
}

/**
 * Relays a Vault's answer to the caller as it arrives, no faster than the caller reads it. A server error is withheld,
 * and thrown as the error to send instead.
 */
export class Relay implements AnswerHandler {
  readonly #response: ServerResponse;
  readonly #trace: Trace;
  readonly #begins: (() => void) | undefined;
  readonly #anyStatus: boolean;
  #size = 0;
  #status = 0;
  /** The beginning of a withheld answer. */
  #withheld: string | undefined;
  /** The answer's Content-Length. */
  #length: number | undefined;
  /** An answer that came in one piece, each byte as a character: sent with its headers in one write. */
  #whole = "";

  constructor(response: ServerResponse, trace: Trace, { begins, anyStatus = false }: RelayOptions = {}) {
    this.#response = response;
    this.#trace = trace;
    this.#begins = begins;
    this.#anyStatus = anyStatus;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    const response = this.#response;
    const abort = () => controller.abort(new Error("the caller has disconnected"));
    if (response.destroyed) abort();
    response.on("close", () => {
      if (!response.writableFinished) abort();
    });
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    this.#trace.answeredAt = performance.now();
    this.#status = status;
    if (!this.#anyStatus && !isAnswer(status)) {
      this.#withheld = "";
      return;
    }
    const length = headers["content-length"];
    this.#begins?.();
    this.#response.writeHead(status, {
      ...HEADERS,
      "x-request-id": this.#trace.requestId,
      ...(typeof length === "string" && { "content-length": length }),
    });
    this.#length = Number(length);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#size += chunk.length;
    if (this.#size > MAX_ANSWER_BYTES) throw new Error("the answer is too large");
    if (this.#withheld !== undefined) {
      if (this.#withheld.length < MAX_WITHHELD) this.#withheld += chunk.toString("latin1");
      return;
    }
    if (chunk.length === this.#length) {
      this.#whole = chunk.toString("latin1");
      return;
    }
    const response = this.#response;
    if (response.write(chunk)) return;
    controller.pause();
    // A paused answer holds one of the few connections to its Vault.
    const tooSlow = setTimeout(() => response.destroy(), MAX_PAUSE_MS).unref();
    response.once("drain", () => {
      clearTimeout(tooSlow);
      controller.resume();
    });
  }

  onResponseEnd(): void {
    if (this.#withheld !== undefined) throw serverError(this.#status, this.#withheld);
    complete.push(this);
    if (complete.length === 1) setImmediate(endAnswers);
  }

  /** Bytes of the answer received so far. */
  get size(): number {
    return this.#size;
  }

  /** Sends the rest of the answer. */
  end(): void {
    this.#response.end(this.#whole, "latin1");
  }

  /** An answer that was cut off must not look complete. */
  onResponseError(): void {
    if (this.#response.headersSent) this.#response.destroy();
  }
}

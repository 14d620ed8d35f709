import type { ServerResponse } from "node:http";
import type { Dispatcher } from "undici";
import { HEADERS } from "../answer/send.ts";
import type { Trace } from "../record/request-log.ts";
import type { AnswerHandler } from "./forward.ts";
import { isAnswer, serverError } from "./server-error.ts";

/** A Vault holds at most 1 MiB in an entry; only long lists are larger. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;

const MAX_WITHHELD = 4_096;

/** For so long a caller may take nothing of an answer. */
const MAX_PAUSE_MS = 10_000;

/** Those whose answers have come whole in this turn of the event loop. */
let complete: Relay[] = [];

/**
 * Ends the answers of a turn together. Each write wakes whom it goes to; where one follows the other at once,
 * it is mostly awake already, and a write costs less.
 */
function endAnswers(): void {
  const relays = complete;
  complete = [];
  for (const relay of relays) relay.end();
}

interface RelayOptions {
  /** Called before anything is passed on. */
  begins?: () => void;
  /** A 5xx is part of the answer too, as it is of `sys/health`. */
  anyStatus?: boolean;
}

/**
 * Passes a Vault's answer on to the caller as it comes, no faster than the caller takes it. One that is a
 * server's error is withheld, and thrown as what the caller is told instead.
 */
export class Relay implements AnswerHandler {
  readonly #response: ServerResponse;
  readonly #trace: Trace;
  readonly #begins: (() => void) | undefined;
  readonly #anyStatus: boolean;
  #size = 0;
  #status = 0;
  /** The beginning of what is not passed on. */
  #withheld: string | undefined;
  /** How long the answer says it is. */
  #length: number | undefined;
  /** An answer that came in one piece, each byte as a character: sent with its head in one write. */
  #whole = "";

  constructor(response: ServerResponse, trace: Trace, { begins, anyStatus = false }: RelayOptions = {}) {
    this.#response = response;
    this.#trace = trace;
    this.#begins = begins;
    this.#anyStatus = anyStatus;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    const response = this.#response;
    const abort = () => controller.abort(new Error("the caller has gone"));
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
    // Meanwhile it holds one of the few connections to its Vault.
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

  /** Bytes of the answer that have come. */
  get size(): number {
    return this.#size;
  }

  /** Sends the rest of the answer. */
  end(): void {
    this.#response.end(this.#whole, "latin1");
  }

  /** An answer that breaks off must not look whole. */
  onResponseError(): void {
    if (this.#response.headersSent) this.#response.destroy();
  }
}

import type { IncomingMessage, ServerResponse } from "node:http";
import {
  dataFrames,
  type Frame,
  FrameError,
  FrameParser,
  type FrameType,
  jsonFrame,
} from "../../shared/broker/frames.ts";
import { UseFailure } from "./use-failure.ts";

/** So much of a call waits here before its connection is read no further. */
const MOST_WAITING_BYTES = 256 * 1024;

/** So much of an answer is sent together. */
const MOST_HELD_BYTES = 16 * 1024;

/** The frames of one call, in both directions, with back-pressure. */
export class CallStream {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #parser = new FrameParser();
  readonly #gone = new AbortController();
  #waiting: Frame[] = [];
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #flushing: NodeJS.Immediate | undefined;
  #waitingBytes = 0;
  #isEnded = false;
  #isOver = false;
  #broken: UseFailure | undefined;
  #wake: (() => void) | undefined;

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.#request = request;
    this.#response = response;
    response.once("close", () => this.#close());
    request.on("data", (chunk: Buffer) => this.#take(chunk));
    request.once("end", () => this.#end());
    request.on("error", () => {});
    response.on("error", () => {});
  }

  /** Aborted if the intake goes before the call has ended. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /**
   * The next frame; undefined if there are no more. Throws UseFailure: `malformed` for a stream that is none of frames or
   * has none in time, `cancelled` if the intake is gone.
   */
  async next(withinMs: number): Promise<Frame | undefined> {
    if (this.#waiting.length === 0 && !this.#isEnded && !this.#broken) await this.#more(withinMs);
    const frame = this.#waiting.shift();
    if (frame) {
      this.#waitingBytes -= frame.payload.length;
      if (this.#waitingBytes < MOST_WAITING_BYTES && this.#request.isPaused()) this.#request.resume();
      return frame;
    }
    if (this.#broken) throw this.#broken;
    return undefined;
  }

  /** Sends a frame of JSON, together with what follows at once. */
  send(type: Exclude<FrameType, "data">, value: unknown): void {
    this.#hold(jsonFrame(type, value));
  }

  /** Sends data; resolves when more may be sent, or nobody takes it any more. */
  async data(chunk: Uint8Array): Promise<void> {
    if (chunk.byteLength === 0) return;
    for (const piece of dataFrames(chunk)) this.#hold(piece);
    const isFull = this.#heldBytes >= MOST_HELD_BYTES;
    const hasRoom = isFull ? this.#flush() : !this.#response.writableNeedDrain;
    if (hasRoom || this.#response.destroyed) return;
    await new Promise<void>((resolve) => {
      this.#response.once("drain", done).once("close", done);
      const response = this.#response;
      function done() {
        response.off("drain", done).off("close", done);
        resolve();
      }
    });
  }

  /** Sends the last frame. What still comes of the request is dropped. */
  end(type: "end" | "failed", value: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#waiting = [];
    this.#request.resume();
    this.#held.push(jsonFrame(type, value));
    this.#response.end(this.#takeHeld());
  }

  /** Keeps bytes until this turn of the event loop is over: each write costs a TLS record and wakes the intake. */
  #hold(bytes: Uint8Array): void {
    this.#held.push(bytes);
    this.#heldBytes += bytes.byteLength;
    this.#flushing ??= setImmediate(() => this.#flush());
  }

  /** Sends what is held. False: the intake reads more slowly. */
  #flush(): boolean {
    const bytes = this.#takeHeld();
    return bytes.length === 0 || this.#response.write(bytes);
  }

  #takeHeld(): Buffer {
    clearImmediate(this.#flushing);
    this.#flushing = undefined;
    const bytes = Buffer.concat(this.#held);
    this.#held = [];
    this.#heldBytes = 0;
    return bytes;
  }

  #more(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const late = setTimeout(() => {
        this.#broken ??= new UseFailure("malformed", "the call stood still");
        resolve();
      }, withinMs);
      this.#wake = () => {
        clearTimeout(late);
        resolve();
      };
    });
  }

  #take(chunk: Buffer): void {
    if (this.#isOver || this.#broken) return;
    try {
      for (const frame of this.#parser.push(chunk)) {
        this.#waiting.push(frame);
        this.#waitingBytes += frame.payload.length;
      }
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.#broken = new UseFailure("malformed", "the stream is none of frames");
    }
    if (this.#waitingBytes >= MOST_WAITING_BYTES) this.#request.pause();
    if (this.#waiting.length > 0 || this.#broken) this.#wake?.();
  }

  #end(): void {
    try {
      this.#parser.end();
    } catch {
      this.#broken ??= new UseFailure("malformed", "the stream ended within a frame");
    }
    this.#isEnded = true;
    this.#wake?.();
  }

  #close(): void {
    if (!this.#response.writableFinished) {
      this.#broken = new UseFailure("cancelled", "the caller is gone");
      this.#waiting = [];
      this.#gone.abort(this.#broken);
    }
    this.#wake?.();
  }
}

/** The JSON of a frame; undefined if it is none. */
export function parseFrame({ payload }: Frame): unknown {
  try {
    return JSON.parse(payload.toString("utf8"));
  } catch {
    return undefined;
  }
}

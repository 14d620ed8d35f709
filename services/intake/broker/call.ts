import { type ClientRequest, type IncomingMessage, request } from "node:http";
import type { UseCall } from "../../shared/broker/calls.ts";
import { dataFrames, type Frame, FrameParser, jsonFrame } from "../../shared/broker/frames.ts";
import type { Receipt } from "../../shared/receipts/receipt.ts";
import type { BrokerConnections } from "./connections.ts";

/** What the broker says of a call. */
export interface CallEvents {
  /** Frames as they come, those of one read together. */
  frames(frames: Frame[]): void;
  /**
   * No more frames come, and the last one was none that ends an answer. `hasGone`: the broker may have been let send the
   * request.
   */
  broke(error: Error, hasGone: boolean): void;
}

/** The broker itself ends each call that stands still; this is for a broker that stands still itself. */
const SILENT_MS = 75_000;

/** One call of `POST /use`: an open stream of frames in both directions. */
export class BrokerCall {
  readonly #connections: BrokerConnections;
  readonly #first: Buffer;
  readonly #events: CallEvents;
  #request: ClientRequest;
  #answer: IncomingMessage | undefined;
  #isPaused = false;
  #isOver = false;
  #hasGone = false;

  constructor(connections: BrokerConnections, call: UseCall, events: CallEvents) {
    this.#connections = connections;
    this.#first = jsonFrame("call", call);
    this.#events = events;
    this.#request = this.#open();
  }

  /** Lets the broker send the request: its receipt is durable. */
  go(receipt: Receipt): void {
    this.#hasGone = true;
    this.#request.write(jsonFrame("go", { receipt }));
  }

  /** Sends a part of the body. False: wait for `drained` before the next. */
  data(chunk: Uint8Array): boolean {
    // Not corked: what is written in one turn is sent together anyway, and a corked request may miss its `drain`.
    let hasRoom = true;
    for (const piece of dataFrames(chunk)) hasRoom = this.#request.write(piece);
    return hasRoom;
  }

  drained(then: () => void): void {
    this.#request.once("drain", then);
  }

  /** Ends the body, or the call's head if there is none. */
  end(hasBody: boolean): void {
    this.#request.end(hasBody ? jsonFrame("end", {}) : undefined);
  }

  /** Takes no more of the answer until `resume`. */
  pause(): void {
    this.#isPaused = true;
    this.#answer?.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#answer?.resume();
  }

  /** Ends the call wherever it stands. Nothing is reported any more. */
  destroy(): void {
    this.#isOver = true;
    this.#request.destroy();
  }

  #open(): ClientRequest {
    const opened = request({
      ...{ agent: this.#connections, method: "POST", path: "/use", timeout: SILENT_MS },
      headers: { "content-type": "application/octet-stream" },
    });
    opened.on("timeout", () => opened.destroy(new Error("the broker is silent")));
    opened.on("error", (error) => this.#failed(opened, error));
    opened.once("response", (answer) => this.#read(answer));
    opened.write(this.#first);
    return opened;
  }

  /** A kept connection may turn out to be closed; as long as nothing has gone, another one does as well. */
  #failed(opened: ClientRequest, error: Error): void {
    if (opened !== this.#request) return;
    const isStale = opened.reusedSocket && !this.#answer;
    if (isStale && !this.#hasGone && !this.#isOver) this.#request = this.#open();
    else this.#broke(error);
  }

  #read(answer: IncomingMessage): void {
    this.#answer = answer;
    const parser = new FrameParser();
    answer.on("data", (chunk: Buffer) => {
      try {
        const frames = [...parser.push(chunk)];
        if (frames.length > 0 && !this.#isOver) this.#events.frames(frames);
      } catch (error) {
        this.#broke(error as Error);
      }
    });
    answer.once("end", () => this.#broke(new Error("the broker ended its answer too early")));
    answer.on("error", (error) => this.#broke(error));
    if (answer.statusCode !== 200) this.#broke(new Error(`the broker answered ${answer.statusCode}`));
    else if (this.#isPaused) answer.pause();
  }

  /** The call's last frame has come. Its connection is kept if all was sent. */
  finish(): void {
    this.#isOver = true;
    if (!this.#request.writableEnded) this.#request.destroy();
  }

  #broke(error: Error): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#request.destroy();
    // Without a connection nothing of what was written has left.
    this.#events.broke(error, this.#hasGone && this.#request.socket !== null);
  }
}

import type { IncomingMessage } from "node:http";
import type { Static, TSchema } from "typebox";
import { Value } from "typebox/value";
import { AnswerEnd, AnswerHead, CallFailed, type UseCall } from "../../shared/broker/calls.ts";
import type { Frame } from "../../shared/broker/frames.ts";
import { StrongroomError } from "../../shared/errors.ts";
import type { Trace } from "../../shared/front/request-log.ts";
import type { Completion, Intent, Receipt } from "../../shared/receipts/receipt.ts";
import type { Receipts } from "../receipts/receipts.ts";
import type { BrokerCall, CallEvents } from "./call.ts";
import type { BrokerClient } from "./client.ts";
import { brokerAway, CallRefused, outcomeOf } from "./failures.ts";
import type { Relay } from "./relay.ts";

/** A request's body: read already, or to be streamed with at most so many bytes. */
export type Body = Buffer | { stream: IncomingMessage; mostBytes: number } | undefined;

export interface AttemptOptions {
  broker: BrokerClient;
  receipts: Receipts;
  call: UseCall;
  intent: Intent;
  body: Body;
  relay: Relay;
  trace: Trace;
}

type Outcome = Pick<Completion, "outcome" | "failure">;

/**
 * One call of the broker, with its receipt. The broker verifies, opens and connects while the receipt's intent is being
 * written; it sends nothing before that is durable. Every intent is completed, whatever happens.
 */
export class Attempt implements CallEvents {
  readonly #options: AttemptOptions;
  readonly #call: BrokerCall;
  readonly #begun: Promise<Receipt>;
  readonly #ended = Promise.withResolvers<void>();
  #goneAt: number | undefined;
  /** Parts of the answer that are passed on together: each write wakes the caller. */
  #parts: Buffer[] = [];
  #sent = 0;
  #isOver = false;

  constructor(options: AttemptOptions) {
    const { broker, receipts, call, intent } = options;
    this.#options = options;
    this.#call = broker.use(call, this);
    this.#begun = receipts.begin(call.org, intent);
    this.#begun.then(
      (receipt) => this.#go(receipt),
      (error: unknown) => {
        this.#isOver = true;
        this.#call.destroy();
        this.#ended.reject(error);
      },
    );
  }

  /** Resolves once the answer was passed on or cut off. Rejects if the caller got nothing of one, with what to tell. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** The caller is gone: so is the call. */
  cancel(): void {
    this.#fail({ outcome: "cancelled", failure: "cancelled" }, new Error("the caller has disconnected"));
  }

  frames(frames: Frame[]): void {
    const { relay, trace } = this.#options;
    for (const { type, payload } of frames) {
      switch (type) {
        case "head":
          trace.answeredAt = performance.now();
          if (relay.status !== undefined) throw new Error("the broker sent two heads");
          relay.head(parse(AnswerHead, payload));
          break;
        case "data":
          if (relay.status === undefined) throw new Error("the broker sent data before a head");
          this.#parts.push(payload);
          if (this.#parts.length === 1) setImmediate(() => this.#pass());
          break;
        case "end":
          this.#finish(parse(AnswerEnd, payload));
          return;
        case "failed":
          this.#refused(parse(CallFailed, payload));
          return;
        default:
          throw new Error(`the broker sent a frame ${type}`);
      }
    }
  }

  #pass(): void {
    if (this.#isOver || this.#options.relay.body(this.#parts.splice(0), false)) return;
    this.#call.pause();
    this.#options.relay.drained(() => this.#call.resume());
  }

  broke(error: Error, hasGone: boolean): void {
    const outcome = hasGone ? "unknown" : "not_sent";
    this.#fail({ outcome, failure: "broker_unavailable" }, brokerAway(error, hasGone));
  }

  #go(receipt: Receipt): void {
    if (this.#isOver) return;
    this.#goneAt = performance.now();
    this.#options.trace.sentAt = this.#goneAt;
    this.#call.go(receipt);
    const { body } = this.#options;
    if (body === undefined) this.#call.end(false);
    else if (!Buffer.isBuffer(body)) this.#stream(body);
    else {
      this.#sent = body.length;
      this.#call.data(body);
      this.#call.end(true);
    }
  }

  #stream({ stream, mostBytes }: Exclude<Body, Buffer | undefined>): void {
    stream.on("data", (chunk: Buffer) => {
      if (this.#isOver) return;
      this.#sent += chunk.length;
      if (this.#sent > mostBytes) {
        return this.#fail({ outcome: "cancelled", failure: "body_too_large" }, tooLarge(mostBytes));
      }
      if (this.#call.data(chunk)) return;
      stream.pause();
      this.#call.drained(() => stream.resume());
    });
    stream.once("end", () => {
      if (!this.#isOver) this.#call.end(true);
    });
  }

  #finish({ sentBytes, receivedBytes, scrubbed, bodyDigest }: AnswerEnd): void {
    const { relay } = this.#options;
    const { status } = relay;
    if (status === undefined) throw new Error("the broker ended an answer without a head");
    this.#isOver = true;
    this.#call.finish();
    relay.body(this.#parts, true);
    this.#complete({
      ...{ outcome: "answered", status, sentBytes, receivedBytes, scrubbed },
      ...(bodyDigest !== undefined && { bodyDigest }),
    });
    this.#ended.resolve();
  }

  #refused(failed: CallFailed): void {
    this.#fail(
      { outcome: outcomeOf(failed), failure: failed.failure },
      new CallRefused(failed, this.#options.call.id),
    );
  }

  #fail(outcome: Outcome, error: Error): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { relay, trace } = this.#options;
    this.#call.destroy();
    const { status, received: receivedBytes } = relay;
    const sent = { sentBytes: this.#sent, receivedBytes, scrubbed: 0 };
    // Nothing can have been sent of what has not gone.
    const isUnsent = this.#goneAt === undefined || outcome.outcome === "not_sent";
    this.#complete({
      ...{ ...outcome, ...sent },
      ...(isUnsent && { outcome: "not_sent", sentBytes: 0 }),
      ...(status !== undefined && { status }),
    });
    if (relay.hasBegun) {
      trace.error = error;
      this.#ended.resolve();
    } else {
      // After the intent: the caller is told its receipt.
      this.#begun.then(
        () => this.#ended.reject(error),
        () => {},
      );
    }
    relay.cut();
  }

  #complete(completion: Omit<Completion, "ms">): void {
    const { receipts, call } = this.#options;
    const ms = Math.round(performance.now() - (this.#goneAt ?? performance.now()));
    this.#begun.then(
      (receipt) => void receipts.complete(call.org, receipt, { ...completion, ms }),
      () => {},
    );
  }
}

export const tooLarge = (mostBytes: number): StrongroomError =>
  new StrongroomError("body_too_large", `The body is longer than ${mostBytes} bytes.`);

/** Throws for a frame that is not what its type says. */
function parse<T extends TSchema>(schema: T, payload: Buffer): Static<T> {
  const json: unknown = JSON.parse(payload.toString("utf8"));
  if (!Value.Check(schema, json)) throw new Error("a frame of the broker is not what its type says");
  return json;
}

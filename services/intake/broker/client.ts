import { type IncomingMessage, request } from "node:http";
import type { Static, TSchema } from "typebox";
import { Value } from "typebox/value";
import { CallFailed, type UseCall } from "../../shared/broker/calls.ts";
import { BrokerCall, type CallEvents } from "./call.ts";
import { BrokerConnections, type BrokerSettings } from "./connections.ts";
import { brokerAway, CallRefused } from "./failures.ts";

/** The broker, over connections that either side knows by the other's certificate. */
export interface BrokerClient {
  /** Opens a call for one use; what comes of it is told to `events`. */
  use(call: UseCall, events: CallEvents): BrokerCall;
  /**
   * Calls an operation with JSON. Throws {@link CallRefused} for what the broker refuses, and `broker_unavailable`, at
   * once if no connection can be made.
   */
  ask<T extends TSchema>(
    operation: string,
    body: object,
    answer: T,
    signal?: AbortSignal,
  ): Promise<Static<T>>;
  close(): void;
}

/** An operation may call a provider: connecting, sending and waiting for it together. */
const ASK_MS = 60_000;
const MOST_ANSWER_BYTES = 512 * 1024;

export function createBrokerClient(settings: BrokerSettings): BrokerClient {
  const kept = new BrokerConnections(settings, true);
  // An operation may act at a provider, so it is never sent twice: not over one that may turn out to be closed.
  const fresh = new BrokerConnections(settings, false);
  return {
    use: (call, events) => new BrokerCall(kept, call, events),
    async ask(operation, body, answer, signal) {
      const { status, text } = await post(fresh, `/${operation}`, JSON.stringify(body), signal);
      const json = parse(text);
      if (status === 200 && Value.Check(answer, json)) return json;
      if (status >= 400 && Value.Check(CallFailed, json)) throw new CallRefused(json);
      throw brokerAway(new Error(`the broker's answer to ${operation} is none: ${status}`), true);
    },
    close() {
      kept.destroy();
      fresh.destroy();
    },
  };
}

async function post(
  connections: BrokerConnections,
  path: string,
  body: string,
  given?: AbortSignal,
): Promise<{ status: number; text: string }> {
  const late = AbortSignal.timeout(ASK_MS);
  const signal = given ? AbortSignal.any([given, late]) : late;
  return new Promise((resolve, reject) => {
    const opened = request({
      ...{ agent: connections, method: "POST", path, signal },
      headers: { "content-type": "application/json", "content-length": Buffer.byteLength(body) },
    });
    opened.on("error", (error) => reject(brokerAway(error, opened.socket?.bytesWritten !== 0)));
    opened.once("response", (answer) => {
      readText(answer).then(
        (text) => resolve({ status: answer.statusCode ?? 0, text }),
        (error) => reject(brokerAway(error, true)),
      );
    });
    opened.end(body);
  });
}

async function readText(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MOST_ANSWER_BYTES) throw new Error("the broker's answer is too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

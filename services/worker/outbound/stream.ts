import { type ClientRequest, type IncomingMessage, request as sendRequest } from "node:http";
import { parseOrigin } from "../../shared/work/destination.ts";
import { JobFailure } from "../job-failure.ts";
import { asFailure, checkFraming, hostHeader, MAX_HEADER_BYTES } from "./exchange.ts";
import type { Connection } from "./kept-connections.ts";

/** A request as it is sent; `Host`, `Connection` and what frames the body are added here and nowhere else. */
export interface StreamedRequest {
  /** The pinned origin that the connection leads to. */
  origin: string;
  method: string;
  /** Path and query. */
  path: string;
  headers: readonly [name: string, value: string][];
  /** The length of the body, `chunked` if it is not known, undefined if there is none. */
  length: number | "chunked" | undefined;
}

/** Milliseconds that a destination may take. */
export interface Patience {
  /** For the head of its answer, once the request was sent, and to take more of the request. */
  head: number;
  /** Between two pieces of its answer. */
  idle: number;
}

const PATIENCE: Patience = { head: 30_000, idle: 60_000 };

/** Without a length, Node would send an empty body of these methods in chunks. */
const EXPECTS_BODY = ["POST", "PUT", "PATCH"];

/** One request and its answer on a connection, both as streams. */
export class Exchanged {
  readonly #connection: Connection;
  readonly #request: ClientRequest;
  readonly #patience: Patience;
  readonly #answered = Promise.withResolvers<IncomingMessage>();
  #timer: NodeJS.Timeout | undefined;
  #failure: Error | undefined;
  #response: IncomingMessage | undefined;
  /** Bytes of the request's body that were sent, and of the answer's body that came. */
  sentBytes = 0;
  receivedBytes = 0;
  /** Whether anything of an answer has come. */
  hasBegun = false;

  /** Nothing is sent before {@link write} or {@link end}. */
  constructor(connection: Connection, request: StreamedRequest, patience: Patience = PATIENCE) {
    const origin = parseOrigin(request.origin);
    if (!origin) throw new JobFailure("destination_refused", "the destination is not an https origin");
    const { method, length } = request;
    this.#connection = connection;
    this.#patience = patience;
    this.#answered.promise.catch(() => {});
    this.#request = sendRequest({
      ...{ agent: connection, method, path: request.path, setHost: false },
      ...{ maxHeaderSize: MAX_HEADER_BYTES, insecureHTTPParser: false },
      headers: [["Host", hostHeader(origin)], ...request.headers, ...framing(method, length)].flat(),
    });
    const { socket } = connection;
    const written = socket.bytesWritten;
    connection.begin();
    // Before the listener by which Node parses it.
    socket.once("data", () => {
      this.hasBegun = true;
      if (socket.bytesWritten > written) return;
      this.abort(new JobFailure("answer_unusable", "the destination answered before it was asked"));
    });
    this.#request.on("error", (error) => this.abort(asBroken(asFailure(error))));
    this.#request.on("upgrade", () =>
      this.abort(new JobFailure("answer_unusable", "the destination changed the protocol")),
    );
    this.#request.once("response", (response) => this.#receive(response));
  }

  /** Sends a piece of the body; resolves when the next one may be sent. Throws what {@link answer} throws. */
  async write(chunk: Uint8Array): Promise<void> {
    if (this.#failure) throw this.#failure;
    this.sentBytes += chunk.byteLength;
    if (this.#request.write(chunk)) return;
    // Once the answer has begun, its own pace counts.
    if (!this.#response)
      this.#within(this.#patience.head, "the destination did not take the request in time");
    await new Promise<void>((resolve) => {
      const request = this.#request;
      const done = () => {
        request.off("drain", done).off("close", done);
        resolve();
      };
      request.on("drain", done).on("close", done);
    });
    if (!this.#response) clearTimeout(this.#timer);
    if (this.#failure) throw this.#failure;
  }

  /** The request is whole. */
  end(): void {
    if (this.#failure) return;
    if (!this.#response) this.#within(this.#patience.head, "the destination did not answer in time");
    this.#request.end();
  }

  /** The head of the answer. Throws JobFailure. */
  answer(): Promise<IncomingMessage> {
    return this.#answered.promise;
  }

  /** The pieces of the answer's body, until it is whole. Throws JobFailure if it is cut off or stands still. */
  async *body(): AsyncGenerator<Buffer> {
    const response = await this.answer();
    const chunks: AsyncIterator<Buffer> = response[Symbol.asyncIterator]();
    try {
      for (;;) {
        this.#within(this.#patience.idle, "the destination's answer has stood still");
        const { done, value } = await chunks.next();
        // Whoever takes the pieces may be slow.
        clearTimeout(this.#timer);
        if (done) break;
        this.receivedBytes += value.length;
        yield value;
      }
    } catch (error) {
      throw this.#failure ?? asBroken(error);
    }
    if (!response.complete) throw asBroken();
  }

  /** Resolves with whether the connection can take another request, once all of this one is over. */
  async released(): Promise<boolean> {
    clearTimeout(this.#timer);
    if (this.#failure || !this.#response?.complete || !this.#request.writableEnded) return false;
    // The agent has taken its socket back, or ended it, by then. A destination may leave the end of a request unread.
    if (!this.#request.closed) {
      this.#within(this.#patience.head, "the destination did not take the request in time");
      await new Promise((resolve) => this.#request.once("close", resolve));
      clearTimeout(this.#timer);
    }
    await new Promise((resolve) => setImmediate(resolve));
    return !this.#connection.socket.destroyed;
  }

  /** Ends request and connection; whoever waits for the answer gets this error. */
  abort(error: Error): void {
    if (this.#failure) return;
    this.#failure = error;
    clearTimeout(this.#timer);
    this.#answered.reject(error);
    this.#response?.destroy(error);
    this.#request.destroy();
    this.#connection.destroy();
  }

  #receive(response: IncomingMessage): void {
    try {
      checkFraming(response);
    } catch (error) {
      this.abort(error as Error);
      return;
    }
    this.#response = response;
    clearTimeout(this.#timer);
    this.#answered.resolve(response);
  }

  #within(ms: number, detail: string): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.abort(new JobFailure("timeout", detail)), ms);
  }
}

function framing(method: string, length: StreamedRequest["length"]): [string, string][] {
  if (length === "chunked") return [["Transfer-Encoding", "chunked"]];
  if (length !== undefined) return [["Content-Length", String(length)]];
  return EXPECTS_BODY.includes(method) ? [["Content-Length", "0"]] : [];
}

const asBroken = (error?: unknown): JobFailure =>
  error instanceof JobFailure
    ? error
    : new JobFailure("unreachable", "the connection to the destination broke");

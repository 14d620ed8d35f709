import type { IncomingMessage } from "node:http";
import { JobFailure } from "../job-failure.ts";
import type { Connection } from "../outbound/kept-connections.ts";
import { Exchanged, type Patience, type StreamedRequest } from "../outbound/stream.ts";
import type { Destinations, Target } from "./destinations.ts";

export interface LinkOptions {
  target: Target;
  /** Sending the request twice makes no difference. */
  isRepeatable: boolean;
  /** The caller is gone: all ends at once. */
  gone: AbortSignal;
  patience?: Patience | undefined;
}

/** The connection of one call to its destination. It is being made from the beginning. */
export class Link {
  readonly #destinations: Destinations;
  readonly #options: LinkOptions;
  #connecting: Promise<Connection>;
  #exchanged: Exchanged | undefined;

  constructor(destinations: Destinations, options: LinkOptions) {
    this.#destinations = destinations;
    this.#options = options;
    const { target, isRepeatable, gone } = options;
    this.#connecting = destinations.connect(target, isRepeatable, gone);
    this.#connecting.catch(() => {});
    gone.addEventListener("abort", this.destroy, { once: true });
  }

  /** Resolves once there is a connection. Throws UseFailure. */
  async connected(): Promise<void> {
    await this.#connecting;
  }

  /**
   * Sends a request, its body by `sendBody`, until the head of the answer has come; the body may go on after it. A request that
   * is repeatable is sent once more if a kept connection was closed before any byte of an answer. Throws UseFailure and
   * JobFailure, and what `sendBody` throws.
   */
  async exchange(
    request: StreamedRequest,
    sendBody: (to: Exchanged) => Promise<void>,
  ): Promise<{ exchanged: Exchanged; response: IncomingMessage }> {
    const { target, isRepeatable, gone, patience } = this.#options;
    // A kept one may have ended while the receipt was written, by the destination or for what came unasked.
    if ((await this.#connecting).socket.destroyed) this.#connecting = this.#destinations.open(target, gone);
    for (let mayRetry = isRepeatable; ; mayRetry = false) {
      const connection = await this.#connecting;
      const exchanged = new Exchanged(connection, request, patience);
      this.#exchanged = exchanged;
      sendBody(exchanged).catch((error) => exchanged.abort(error));
      try {
        return { exchanged, response: await exchanged.answer() };
      } catch (error) {
        const isClosed = error instanceof JobFailure && error.failure === "unreachable";
        if (!mayRetry || !isClosed || !connection.isKept || exchanged.hasBegun || gone.aborted) throw error;
        exchanged.abort(error);
        this.#connecting = this.#destinations.open(target, gone);
      }
    }
  }

  /** All is over: the connection is kept, if it can take another request. */
  release(): void {
    const { gone, target } = this.#options;
    gone.removeEventListener("abort", this.destroy);
    const exchanged = this.#exchanged;
    Promise.all([this.#connecting, exchanged?.released()]).then(([connection, isFree]) => {
      if (isFree) this.#destinations.keep(target, connection);
      else this.destroy();
    }, this.destroy);
  }

  /** Ends the connection, with what is on it. */
  readonly destroy = (): void => {
    this.#options.gone.removeEventListener("abort", this.destroy);
    this.#exchanged?.abort(new JobFailure("unreachable", "the request was given up"));
    this.#connecting.then(
      (connection) => connection.destroy(),
      () => {},
    );
  };
}

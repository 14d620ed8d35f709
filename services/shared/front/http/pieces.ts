import { IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { StrongroomError } from "../../errors.ts";
import { UNITS_OF_PIECES } from "../cost.ts";
import type { Limits } from "../limits.ts";
import type { Trace } from "../request-log.ts";

/** A body may come in pieces of this many bytes on average, and in so many more. */
const PIECE_BYTES = 256;
const FREE_PIECES = 256;

/** Emitted once by a {@link BoundedRequest}, as soon as its body has come in too many pieces. */
const TOO_MANY_PIECES = Symbol("too many pieces");

/** A request as {@link boundPieces} needs it: Fastify's has all of it. */
interface Bounded {
  raw: IncomingMessage;
  ip: string;
  trace: Trace;
}

/**
 * Ends a request whose body comes in too many pieces: 413 by `refuse`, held back as other refusals are, and the
 * connection with it. The caller's address pays, and its organization if that is known by then.
 */
export function boundPieces(
  { raw, trace, ip }: Bounded,
  response: ServerResponse,
  limits: Limits,
  refuse: (response: ServerResponse, trace: Trace, error: StrongroomError) => void,
): void {
  raw.once(TOO_MANY_PIECES, async () => {
    limits.countAddress(ip, performance.now(), UNITS_OF_PIECES);
    await limits.holdBack();
    if (trace.org) limits.chargeOrg(trace.org, UNITS_OF_PIECES);
    if (response.headersSent || response.destroyed) {
      raw.socket.destroy();
      return;
    }
    const detail = "The body is refused: it comes in too many small chunks.";
    const error = new StrongroomError("body_too_large", detail, { cause: "pieces" });
    trace.error = error;
    refuse(response.setHeader("connection", "close"), trace, error);
  });
}

/**
 * A request that takes its body in a bounded number of pieces, and reads no more of its connection after them. Node's
 * parser hands over every chunk by itself, of which 64 KiB, as much as is read at once, may hold ten thousand. They
 * are counted as they come out of the parser: whoever listens for `data` meets them when all of them have cost their
 * time already.
 */
export class BoundedRequest extends IncomingMessage {
  #room = FREE_PIECES * PIECE_BYTES;

  override push(chunk: Buffer | null, encoding?: BufferEncoding): boolean {
    if (this.#room < 0) return this.#stop();
    if (chunk === null) return super.push(null);
    this.#room += chunk.length - PIECE_BYTES;
    if (this.#room >= 0) return super.push(chunk, encoding);
    this.emit(TOO_MANY_PIECES);
    return this.#stop();
  }

  override _read(size: number): void {
    if (this.#room >= 0) super._read(size);
  }

  /** Returns false, by which Node stops reading. */
  #stop(): false {
    skipWhatWasRead(this.socket);
    return false;
  }
}

interface Parser {
  constructor: Record<string, unknown>;
  [callback: number]: unknown;
}
const CALLBACKS = ["kOnHeadersComplete", "kOnBody", "kOnMessageComplete"];

/**
 * Has Node's parser call nobody for the rest of what was read: neither for more chunks, each of which costs 1 µs to be
 * handed over, nor for requests behind them. There is no public way to stop it; where a release has none of this, the
 * chunks are handed over, and dropped.
 */
function skipWhatWasRead(socket: Socket): void {
  const { parser } = socket as Socket & { parser?: Parser | null };
  if (!parser) return;
  for (const name of CALLBACKS) {
    const key = parser.constructor[name];
    if (typeof key !== "number") continue;
    const callback = parser[key];
    if (!callback) continue;
    parser[key] = null;
    // The parser may serve another connection when this one has closed, which is later.
    setImmediate(() => {
      parser[key] = callback;
    });
  }
}

import { Agent } from "node:http";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { JobFailure } from "../job-failure.ts";
import type { Connector } from "./connect.ts";

/** How long a connection without a request is kept, unless the destination says that it closes it earlier. */
const IDLE_MS = 15_000;
/** Many servers close an idle connection after five seconds, just when a request is on its way. */
const SURE_MS = 4_000;
/** As many as an owner may have in hand at once at most times: with fewer, one request in ten began with a handshake. */
const MOST_IDLE_OF_OWNER = 32;
const MOST_IDLE = 1_000;
/** For finding the addresses, connecting and the handshake together. */
const CONNECT_MS = 5_000;

/** A connection to a destination that takes one request after another: an HTTP agent of one socket. */
export class Connection extends Agent {
  readonly socket: TLSSocket;
  /** Whether it has had a request before. */
  isKept = false;
  /** When its last request ended, by `performance.now()`. */
  idleSince = 0;
  /** While it is idle: called when it has ended. */
  onEnded: (() => void) | undefined;
  #isTaken = false;

  constructor(socket: TLSSocket) {
    super({ keepAlive: true, maxSockets: 1, timeout: IDLE_MS });
    this.socket = socket;
    socket.once("close", () => this.onEnded?.());
  }

  override getName(): string {
    return "";
  }

  override createConnection(_: unknown, callback?: (error: Error | null, stream: Duplex) => void): undefined {
    const isClosed = this.#isTaken || this.socket.destroyed;
    this.#isTaken = true;
    const error = isClosed ? Object.assign(new Error("closed"), { code: "ECONNRESET" }) : null;
    callback?.(error, this.socket);
    return undefined;
  }

  /** Ends it, with the request that it has. */
  override destroy(): void {
    this.socket.destroy();
    super.destroy();
  }

  /** What comes unasked would be taken for the answer to the next request. */
  readonly #onStray = () => this.destroy();

  watchIdle(onEnded: () => void): void {
    this.onEnded = onEnded;
    this.isKept = true;
    this.idleSince = performance.now();
    this.socket.on("data", this.#onStray);
  }

  /** A request is about to be sent: what comes from now on may be its answer. */
  begin(): void {
    this.socket.off("data", this.#onStray);
  }
}

/**
 * Connections that are kept between the requests of one owner (a member with one of the organization's credentials) to one
 * origin, and never shared with another owner.
 */
export class KeptConnections {
  readonly #connect: Connector;
  readonly #connectMs: number;
  /** By owner and origin, the oldest first. */
  readonly #idle = new Map<string, Set<Connection>>();
  #count = 0;
  #isClosed = false;

  constructor(connect: Connector, connectMs = CONNECT_MS) {
    this.#connect = connect;
    this.#connectMs = connectMs;
  }

  /**
   * A connection that was kept; undefined if there is none. `isSure`: only one that the destination has hardly closed yet,
   * for a request that must not be repeated.
   */
  kept(owner: string, origin: string, isSure: boolean): Connection | undefined {
    const name = nameOf(owner, origin);
    const newest = [...(this.#idle.get(name) ?? [])].findLast(({ socket }) => !socket.destroyed);
    if (!newest || (isSure && performance.now() - newest.idleSince > SURE_MS)) return undefined;
    this.#forget(name, newest);
    return newest;
  }

  /** A new connection. Throws JobFailure, or the signal's reason. */
  async open(origin: string, signal: AbortSignal): Promise<Connection> {
    const within = AbortSignal.any([signal, AbortSignal.timeout(this.#connectMs)]);
    try {
      return new Connection(await this.#connect(origin, within));
    } catch (error) {
      signal.throwIfAborted();
      if (within.aborted) throw new JobFailure("timeout", "no connection to the destination in time");
      throw error;
    }
  }

  /** Keeps a connection whose request has ended. */
  keep(owner: string, origin: string, connection: Connection): void {
    const { socket } = connection;
    if (this.#isClosed || socket.destroyed || !socket.writable || this.#count >= MOST_IDLE) {
      connection.destroy();
      return;
    }
    const name = nameOf(owner, origin);
    const kept = this.#idle.get(name) ?? new Set();
    const [oldest] = kept;
    if (oldest && kept.size >= MOST_IDLE_OF_OWNER) {
      this.#forget(name, oldest);
      oldest.destroy();
    }
    this.#idle.set(name, kept.add(connection));
    this.#count++;
    connection.watchIdle(() => this.#forget(name, connection));
  }

  /** How many are kept. */
  get size(): number {
    return this.#count;
  }

  /** Ends those that are kept, and keeps no more. */
  close(): void {
    this.#isClosed = true;
    for (const kept of this.#idle.values()) for (const each of kept) each.destroy();
  }

  #forget(name: string, connection: Connection): void {
    connection.onEnded = undefined;
    const kept = this.#idle.get(name);
    if (!kept?.delete(connection)) return;
    this.#count--;
    if (kept.size === 0) this.#idle.delete(name);
  }
}

const nameOf = (owner: string, origin: string) => `${owner}\n${origin}`;

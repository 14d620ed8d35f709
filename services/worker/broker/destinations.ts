import type { Connection, KeptConnections } from "../outbound/kept-connections.ts";
import type { Circuits } from "./circuits.ts";
import { asUseFailure } from "./failures.ts";

/** Whose connections they are, and where to. */
export interface Target {
  org: string;
  credential: string;
  /** Issuer and subject of the caller: should a destination say something unasked, no other member gets it as an answer. */
  member: string;
  origin: string;
}

/** The way to organizations' destinations: connections that are kept, behind circuits. */
export class Destinations {
  readonly #connections: KeptConnections;
  readonly #circuits: Circuits;

  constructor(connections: KeptConnections, circuits: Circuits) {
    this.#connections = connections;
    this.#circuits = circuits;
  }

  /**
   * A connection to a destination, kept or new. `isRepeatable`: the request may be sent again, should a kept one turn out to be
   * closed. Throws UseFailure, `circuit_open` at once after failures in a row.
   */
  async connect(target: Target, isRepeatable: boolean, signal: AbortSignal): Promise<Connection> {
    const kept = this.#connections.kept(ownerOf(target), target.origin, !isRepeatable);
    return kept ?? (await this.open(target, signal));
  }

  /** A new connection. Throws as {@link connect} does. */
  async open({ org, origin }: Target, signal: AbortSignal): Promise<Connection> {
    this.#circuits.check(org, origin, performance.now());
    try {
      const connection = await this.#connections.open(origin, signal);
      this.#circuits.connected(org, origin);
      return connection;
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      const failure = asUseFailure(error);
      const isDown = failure.failure === "unreachable" || failure.failure === "timeout";
      if (isDown) this.#circuits.failed(org, origin, performance.now());
      throw failure;
    }
  }

  /** Keeps a connection whose request is over. */
  keep(target: Target, connection: Connection): void {
    this.#connections.keep(ownerOf(target), target.origin, connection);
  }

  close(): void {
    this.#connections.close();
  }
}

const ownerOf = ({ org, credential, member }: Target): string => `${org}\n${credential}\n${member}`;

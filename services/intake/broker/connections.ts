import { Agent } from "node:http";
import type { Duplex } from "node:stream";
import { connect, type TLSSocket } from "node:tls";
import type { Pins } from "../../shared/broker/pinned.ts";
import type { Secret } from "../../shared/secret.ts";

/** Where the broker is, and how either side knows the other. */
export interface BrokerSettings {
  /** `https://host:port` */
  url: string;
  /** The broker's certificates. */
  pins: Pins;
  /** The intake's own certificate and key. PEM. */
  client: { certificate: string; key: Secret };
}

/** A connection that takes longer to be made is not waited for: the broker is near. */
const CONNECT_MS = 2_000;
const MOST_CONNECTIONS = 1_024;
const MOST_KEPT = 64;
/** Shorter than the broker keeps one, so that it is rarely closed under a request. */
const KEPT_MS = 4_000;

/** Connections to the broker, each over TLS 1.3 with the intake's certificate, to a pinned certificate only. */
export class BrokerConnections extends Agent {
  readonly #settings: BrokerSettings;
  readonly #host: string;
  readonly #port: number;

  /** `isKept`: connections are kept for the next request. */
  constructor(settings: BrokerSettings, isKept: boolean) {
    super({ keepAlive: isKept, maxSockets: MOST_CONNECTIONS, maxFreeSockets: MOST_KEPT, timeout: KEPT_MS });
    const { hostname, port } = new URL(settings.url);
    this.#settings = settings;
    this.#host = hostname;
    this.#port = Number(port || 443);
  }

  override createConnection(_: unknown, callback?: (error: Error | null, stream: Duplex) => void): undefined {
    const { client, pins } = this.#settings;
    const socket = connect({
      ...{ host: this.#host, port: this.#port, cert: client.certificate, key: client.key.reveal() },
      ...{ minVersion: "TLSv1.3", ALPNProtocols: ["http/1.1"] },
      // The certificate itself is compared, below: no authority has signed it.
      rejectUnauthorized: false,
    });
    const slow = setTimeout(() => socket.destroy(new Error("no connection in time")), CONNECT_MS);
    const fail = (error: Error) => {
      clearTimeout(slow);
      callback?.(error, socket);
    };
    socket.setNoDelay(true);
    socket.once("error", fail);
    socket.once("secureConnect", () => {
      socket.off("error", fail);
      clearTimeout(slow);
      if (isPinned(socket, pins)) return callback?.(null, socket);
      socket.destroy();
      callback?.(new Error("the broker's certificate is not the pinned one"), socket);
    });
    return undefined;
  }
}

const isPinned = (socket: TLSSocket, pins: Pins): boolean =>
  pins.has(socket.getPeerX509Certificate()?.fingerprint256 ?? "");

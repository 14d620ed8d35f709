import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { type Origin, parsePostgresql } from "../../shared/work/destination.ts";
import { JobFailure } from "../job-failure.ts";
import { createDialler, type Network } from "./connect.ts";

/** A TLS connection to a PostgreSQL server, whose certificate is the host's. Throws JobFailure. */
export type DialPostgresql = (server: Origin, signal: AbortSignal) => Promise<TLSSocket>;

/** The message SSLRequest: its length and its code. */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);
const YES = "S".charCodeAt(0);

/** The way to PostgreSQL servers, under the same rules as every way out. */
export function createDialPostgresql(network: Network): DialPostgresql {
  const dialNamed = createDialler(network);
  return async (server, signal) => {
    const address = `postgresql://${server.host}:${server.port}`;
    if (!parsePostgresql(address)) {
      throw new JobFailure("destination_refused", "the server is not named by a DNS name and a port");
    }
    return dialNamed(address, server, signal, { alpn: ["postgresql"], before: askForTls });
  };
}

/** Asks the server for TLS. Nothing else is said in clear, and nothing that it adds is taken. */
function askForTls(socket: Socket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (failure?: unknown) => {
      socket.off("data", onData).off("close", onClose).pause();
      signal.removeEventListener("abort", onAbort);
      if (failure === undefined) return resolve();
      socket.destroy();
      reject(failure);
    };
    const onData = (bytes: Buffer) =>
      end(
        bytes.length === 1 && bytes[0] === YES
          ? undefined
          : new JobFailure("provider_refused", "the PostgreSQL server offers no TLS"),
      );
    const onClose = () => end(Object.assign(new Error("closed"), { code: "ECONNRESET" }));
    const onAbort = () => end(signal.reason);
    socket.on("data", onData).once("close", onClose);
    signal.addEventListener("abort", onAbort, { once: true });
    socket.write(SSL_REQUEST);
  });
}

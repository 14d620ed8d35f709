import { connect, type Socket } from "node:net";
import { createSecureContext, type SecureContext, connect as startTls, type TLSSocket } from "node:tls";
import type { Origin } from "../../shared/work/destination.ts";
import { JobFailure } from "../job-failure.ts";
import { isPublicAddress, isSameAddress } from "./public-address.ts";

/** Opens a TCP connection to an IP address. */
export type Connect = (address: string, port: number) => Socket;

export const connectByTcp: Connect = (address, port) =>
  connect({ host: address, port, noDelay: true, autoSelectFamily: false });

const CONNECT_MS = 5_000;
const MAX_ADDRESSES_TRIED = 3;

export interface Dialled {
  addresses: string[];
  /** The operator has named this address: it need not be public. */
  isException: boolean;
  /** Trusted for this connection instead of the public authorities; PEM. */
  ca: string | undefined;
}

/** How TLS begins on a connection. */
export interface Start {
  alpn: string[];
  /** What both sides say before, in clear. */
  before?(socket: Socket, signal: AbortSignal): Promise<void>;
}

const HTTPS: Start = { alpn: ["http/1.1"] };

/**
 * A TLS connection to the first of the addresses that answers, whose certificate is the host's. Nothing is written,
 * not even a handshake, before the socket's remote address has been compared with the address dialled. Throws
 * JobFailure.
 */
export async function dial(
  { host, port }: Origin,
  { addresses, isException, ca }: Dialled,
  open: Connect,
  signal: AbortSignal,
  start: Start = HTTPS,
): Promise<TLSSocket> {
  const within = AbortSignal.any([signal, AbortSignal.timeout(CONNECT_MS)]);
  let failure: unknown;
  for (const address of addresses.slice(0, MAX_ADDRESSES_TRIED)) {
    try {
      const socket = await opened(open(address, port), within);
      const remote = socket.remoteAddress ?? "";
      if (!isSameAddress(remote, address) || !(isException || isPublicAddress(remote))) {
        socket.destroy();
        throw new JobFailure("destination_refused", "the connection leads to another address");
      }
      await start.before?.(socket, within);
      return await secured(socket, host, ca, start, within);
    } catch (error) {
      if (error instanceof JobFailure) throw error;
      failure = error;
      if (within.aborted) break;
    }
  }
  signal.throwIfAborted();
  if (within.aborted)
    throw new JobFailure("timeout", "the destination did not accept the connection in time");
  throw new JobFailure("unreachable", `the destination cannot be reached (${codeOf(failure)})`);
}

const opened = (socket: Socket, signal: AbortSignal): Promise<Socket> => settled(socket, "connect", signal);

function secured(
  socket: Socket,
  host: string,
  ca: string | undefined,
  { alpn }: Start,
  signal: AbortSignal,
): Promise<TLSSocket> {
  const secureContext = secureContextFor(ca);
  const tls = startTls({
    ...{ socket, secureContext, servername: host, rejectUnauthorized: true, ALPNProtocols: alpn },
  });
  return settled(tls, "secureConnect", signal);
}

/**
 * Who is trusted, by authority. To read the certificates anew costs as much as a handshake. No session is kept in it,
 * so no two connections have anything in common. There are only as many as the operator names.
 */
const secureContexts = new Map<string | undefined, SecureContext>();

function secureContextFor(ca: string | undefined): SecureContext {
  const known = secureContexts.get(ca);
  if (known) return known;
  const made = createSecureContext({ minVersion: "TLSv1.2", ...(ca !== undefined && { ca }) });
  secureContexts.set(ca, made);
  return made;
}

function settled<S extends Socket>(
  socket: S,
  event: "connect" | "secureConnect",
  signal: AbortSignal,
): Promise<S> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => {
      socket.destroy();
      finish();
      reject(error);
    };
    const onAbort = () => fail(signal.reason);
    const onClose = () => fail(Object.assign(new Error("closed"), { code: "ECONNRESET" }));
    const finish = () => {
      signal.removeEventListener("abort", onAbort);
      socket.off("close", onClose);
    };
    if (signal.aborted) return fail(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    // This listener stays: an error after the socket has been handed on must not end the process.
    socket.on("error", fail);
    socket.once("close", onClose);
    socket.once(event, () => {
      finish();
      resolve(socket);
    });
  });
}

/** The code of a system or TLS error, which says nothing of names or values. */
const codeOf = (error: unknown): string => {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return typeof code === "string" && /^[A-Z0-9_]{1,60}$/.test(code) ? code : "no reason given";
};

import type { TLSSocket } from "node:tls";
import { type Origin, parseOrigin } from "../../shared/work/destination.ts";
import { JobFailure } from "../job-failure.ts";
import { type Connect, connectByTcp, type Dialled, dial, type Start } from "./dial.ts";
import type { PrivateDestinations } from "./private-destinations.ts";
import { dnsResolve, publicAddresses, type Resolve } from "./resolve.ts";

/** What connecting asks of the world. */
export interface Network {
  resolve?: Resolve;
  connect?: Connect;
  privateDestinations?: PrivateDestinations;
}

/**
 * Connects to a pinned https origin: its name is resolved and its addresses are checked anew for each connection. Throws
 * JobFailure, or the signal's reason.
 */
export type Connector = (origin: string, signal: AbortSignal) => Promise<TLSSocket>;

export function createConnector(network: Network): Connector {
  const dialNamed = createDialler(network);
  return async (text, signal) => {
    const origin = parseOrigin(text);
    if (!origin) throw new JobFailure("destination_refused", "the destination is not an https origin");
    return await dialNamed(text, origin, signal);
  };
}

/**
 * The way to servers of any protocol within TLS. `name` is what an operator's exception names, and `server` is what is in
 * it. Throws JobFailure, or the signal's reason.
 */
export function createDialler({
  resolve = dnsResolve(),
  connect = connectByTcp,
  privateDestinations = new Map(),
}: Network) {
  const findAddresses = async (name: string, host: string): Promise<Dialled> => {
    const exception = privateDestinations.get(name);
    if (exception) return { addresses: [exception.address], isException: true, ca: exception.ca };
    return { addresses: await publicAddresses(host, resolve), isException: false, ca: undefined };
  };
  return async (name: string, server: Origin, signal: AbortSignal, start?: Start): Promise<TLSSocket> => {
    const dialled = await beforeAborted(findAddresses(name, server.host), signal);
    return await dial(server, dialled, connect, signal, start);
  };
}

function beforeAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

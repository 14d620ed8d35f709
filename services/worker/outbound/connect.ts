import type { TLSSocket } from "node:tls";
import { parseOrigin } from "../../shared/work/destination.ts";
import { JobFailure } from "../job-failure.ts";
import { type Connect, connectByTcp, type Dialled, dial } from "./dial.ts";
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

export function createConnector({
  resolve = dnsResolve(),
  connect = connectByTcp,
  privateDestinations = new Map(),
}: Network): Connector {
  const findAddresses = async (origin: string, host: string): Promise<Dialled> => {
    const exception = privateDestinations.get(origin);
    if (exception) return { addresses: [exception.address], isException: true, ca: exception.ca };
    return { addresses: await publicAddresses(host, resolve), isException: false, ca: undefined };
  };
  return async (text, signal) => {
    const origin = parseOrigin(text);
    if (!origin) throw new JobFailure("destination_refused", "the destination is not an https origin");
    const dialled = await beforeAborted(findAddresses(text, origin.host), signal);
    return await dial(origin, dialled, connect, signal);
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

import { promises as dns } from "node:dns";
import { JobFailure } from "../job-failure.ts";
import { isPublicAddress } from "./public-address.ts";

/** All addresses of a DNS name; empty if it has none. Throws if no name server answers. */
export type Resolve = (host: string) => Promise<string[]>;

const QUERY_MS = 2_000;
const QUERIES = 2;
/** More answers than this are no destination's. */
const MAX_ADDRESSES = 64;

/**
 * Asks name servers for A and AAAA records, without `/etc/hosts` and search domains: the machine's own servers unless
 * given (`address:port`). Answers or throws within about six seconds.
 */
export function dnsResolve(servers?: string[]): Resolve {
  return async (host) => {
    const resolver = new dns.Resolver({ timeout: QUERY_MS, tries: QUERIES, maxTimeout: QUERY_MS });
    if (servers) resolver.setServers(servers);
    const answers = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
    const addresses = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
    const failed = answers.find((answer) => answer.status === "rejected" && !hasNoRecord(answer.reason));
    if (addresses.length === 0 && failed?.status === "rejected") throw failed.reason;
    return addresses;
  };
}

const hasNoRecord = (error: unknown): boolean =>
  ["ENODATA", "ENOTFOUND"].includes((error as NodeJS.ErrnoException).code ?? "");

/**
 * The addresses of a host, all of them public, IPv4 first. Throws JobFailure: `destination_refused` if one of them is
 * not public, since a name that also leads inside is not to be trusted with the choice.
 */
export async function publicAddresses(host: string, resolve: Resolve): Promise<string[]> {
  let addresses: string[];
  try {
    addresses = await resolve(host);
  } catch {
    throw new JobFailure("unreachable", "the destination's name cannot be resolved now");
  }
  if (addresses.length === 0) throw new JobFailure("unreachable", "the destination's name has no address");
  if (addresses.length > MAX_ADDRESSES || !addresses.every(isPublicAddress)) {
    throw new JobFailure("destination_refused", "the destination's name has an address that is not public");
  }
  return addresses.toSorted((one, other) => Number(one.includes(":")) - Number(other.includes(":")));
}

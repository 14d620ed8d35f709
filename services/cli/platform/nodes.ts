import dns from "node:dns";
import { isIP } from "node:net";
import { promisify } from "node:util";
import { poll } from "../../shared/poll.ts";
import {
  type VaultClient,
  VaultError,
  VaultUnreachableError,
  vaultClient,
} from "../../shared/vault/client.ts";
import { sealStatus } from "../../shared/vault/init.ts";
import { Failure } from "../failure.ts";
import type { Progress } from "../progress.ts";

/** An uninitialized node checks every 5 s whether another one is initialized, and then unseals itself. */
const PATIENCE_MS = 60_000;
const POLL_MS = 500;

export interface NodesOptions {
  progress: Progress;
  patienceMs?: number;
  /** The IP addresses of a name (default: the system's resolver). */
  resolve?: (host: string) => Promise<string[]>;
}

/**
 * Waits until every node behind the name in a Vault's address serves requests: it is unsealed, and either active
 * or able to forward to the active node. Right after initialization some nodes do not, and each connection may
 * reach another node. Failure `unavailable` if the Vault is not initialized or takes too long.
 */
export async function whenAllNodesServe(
  address: string,
  { progress, patienceMs = PATIENCE_MS, resolve = addressesOf }: NodesOptions,
): Promise<void> {
  const step = progress.step(`Waiting until every node of ${address} serves`);
  const fail = (why: string, hint?: string) => {
    step.fail(why);
    return new Failure("unavailable", `The Vault at ${address} does not serve: ${why}`, hint);
  };
  let why = "";
  const serve = async () => {
    const nodes = await statesOf(address, resolve);
    if (nodes.every(({ state }) => state === "uninitialized")) throw fail("it is not initialized");
    const waitedFor = nodes.find(({ state }) => state !== "active" && state !== "standby");
    if (!waitedFor && nodes.some(({ state }) => state === "active")) return true;
    why = waitedFor ? `${waitedFor.host} is ${waitedFor.state}` : "no node is active";
    step.update(why);
    return undefined;
  };
  if (await poll(serve, { everyMs: POLL_MS, withinMs: patienceMs })) return step.done();
  throw fail(why, "Read its log for the cause, fix it, and run the same command again.");
}

async function statesOf(address: string, resolve: (host: string) => Promise<string[]>) {
  const { protocol, hostname, port } = new URL(address);
  return Promise.all(
    (await resolve(hostname)).map(async (host) => {
      const node = `${protocol}//${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
      // The certificate has the name, whatever the node's address.
      const serverName = protocol === "https:" && !isIP(hostname) ? { serverName: hostname } : {};
      return { host, state: await stateOf(vaultClient({ address: node, ...serverName })) };
    }),
  );
}

/** `active` and `standby` serve. */
async function stateOf(node: VaultClient): Promise<string> {
  try {
    const { initialized, sealed } = await sealStatus(node);
    if (!initialized || sealed) return initialized ? "sealed" : "uninitialized";
    // This request makes a standby look up the active node and connect to it.
    const { ha_enabled, is_self, leader_address } = await node.read("sys/leader");
    if (is_self || ha_enabled === false) return "active";
    return leader_address ? "standby" : "a standby without an active node";
  } catch (error) {
    if (error instanceof VaultUnreachableError) return `unreachable (${error.code})`;
    if (error instanceof VaultError) return `answering ${error.status}`;
    throw error;
  }
}

/** Reads `dns.lookup` at call time: tests replace it with the names of a private network. */
async function addressesOf(host: string): Promise<string[]> {
  try {
    const found = await promisify(dns.lookup)(host, { all: true });
    return found.map(({ address }) => address);
  } catch (error) {
    throw new Failure("unavailable", `${host} has no address (${(error as NodeJS.ErrnoException).code})`);
  }
}

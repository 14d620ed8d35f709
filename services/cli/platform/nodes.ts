import dns from "node:dns";
import { isIP } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import type { Progress } from "../../shared/progress.ts";
import {
  type VaultClient,
  VaultError,
  VaultUnreachableError,
  vaultClient,
} from "../../shared/vault/client.ts";
import { sealStatus } from "../../shared/vault/init.ts";
import { Failure } from "../failure.ts";

/** A node that was not initialized looks every 5 s whether another one was, and unseals itself then. */
const PATIENCE_MS = 60_000;
const POLL_MS = 500;

export interface NodesOptions {
  progress: Progress;
  patienceMs?: number;
  /** The IP addresses of a name; by the system's resolver unless given. */
  resolve?: (host: string) => Promise<string[]>;
}

/**
 * Waits until every node behind the name in a Vault's address serves requests: it is unsealed, and active or able
 * to forward to the one that is. A Vault that was initialized a moment ago does not yet, and each connection may
 * reach another node. Failure `unavailable` if it is not initialized, or takes too long.
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
  for (const deadline = performance.now() + patienceMs; ; await sleep(POLL_MS)) {
    const nodes = await statesOf(address, resolve);
    if (nodes.every(({ state }) => state === "uninitialized")) throw fail("it is not initialized");
    const waitedFor = nodes.find(({ state }) => state !== "active" && state !== "standby");
    if (!waitedFor && nodes.some(({ state }) => state === "active")) return step.done();
    const why = waitedFor ? `${waitedFor.host} is ${waitedFor.state}` : "no node is active";
    if (performance.now() > deadline) throw fail(why, "Its log says why. Then run the same command again.");
    step.update(why);
  }
}

async function statesOf(address: string, resolve: (host: string) => Promise<string[]>) {
  const { protocol, hostname, port } = new URL(address);
  return Promise.all(
    (await resolve(hostname)).map(async (host) => {
      const node = `${protocol}//${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
      // Whatever the node's address, its certificate carries the name.
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
    // Asked, a standby looks which node is active, and connects to it.
    const { ha_enabled, is_self, leader_address } = await node.read("sys/leader");
    if (is_self || ha_enabled === false) return "active";
    return leader_address ? "standby" : "a standby that knows no active node";
  } catch (error) {
    if (error instanceof VaultUnreachableError) return `unreachable (${error.code})`;
    if (error instanceof VaultError) return `answering ${error.status}`;
    throw error;
  }
}

/** `dns` is asked when it is called: tests put a private network's names there. */
async function addressesOf(host: string): Promise<string[]> {
  try {
    const found = await promisify(dns.lookup)(host, { all: true });
    return found.map(({ address }) => address);
  } catch (error) {
    throw new Failure("unavailable", `${host} has no address (${(error as NodeJS.ErrnoException).code})`);
  }
}

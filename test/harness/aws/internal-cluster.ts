import { mkdtemp, rm } from "node:fs/promises";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bootstrapInternalVault } from "../../../services/cli/platform/bootstrap-internal-vault.ts";
import { freeAddress } from "../../../services/ecs-emulator/address.ts";
import type { Secret } from "../../../services/shared/secret.ts";
import { appRoleLogin } from "../../../services/shared/vault/approle.ts";
import { type VaultEndpoint, vaultClient } from "../../../services/shared/vault/client.ts";
import { health, type VaultHealth } from "../../../services/shared/vault/health.ts";
import { initialize } from "../../../services/shared/vault/init.ts";
import {
  type InternalVault,
  newOperatorKey,
  pgpKeys,
  startVaultServer,
  type VaultServer,
  whenActive,
} from "../vault.ts";
import { awsEnvironment, makeKey, makeTable, REGION } from "./cell.ts";
import { emulated } from "./emulated.ts";

const BUCKET = "strongroom-internal-vault";
const LOCK = "strongroom-internal-vault-lock";
const INIT_MS = 60_000;

/** One of the internal Vault's nodes. */
export interface Node {
  endpoint: VaultEndpoint;
  server: VaultServer;
  /** Undefined where it does not answer. */
  state(): Promise<VaultHealth | undefined>;
}

/**
 * The internal Vault as on AWS, but for its TLS: three nodes that an awskms seal opens, S3 for their storage
 * and a lock in DynamoDB, against an emulator. `endpoint` is what one name for all three is to a client.
 */
export interface InternalCluster
  extends Pick<InternalVault, "binary" | "endpoint" | "root" | "controlPlane" | "ca"> {
  nodes: Node[];
  stop(): Promise<void>;
}

export async function startInternalCluster(binary: string, emulator: string): Promise<InternalCluster> {
  const folder = await mkdtemp(join(tmpdir(), "strongroom-cluster-"));
  const key = await makeStorage(emulator);
  const nodes: Node[] = [];
  const taken = new Set<string>();
  let root: Secret | undefined;
  const front = await startName(() => nodes.map(({ endpoint }) => endpoint.address));
  const stop = async () => {
    await Promise.all(nodes.map(({ server }) => server.end("SIGKILL")));
    await front.close();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    for (let n = 0; n < 3; n++) {
      const host = await freeAddress(8200, taken);
      taken.add(host);
      const endpoint = { address: `http://${host}:8200` };
      const config = nodeConfig(emulator, key, host);
      const server = await startVaultServer(
        binary,
        join(folder, String(n)),
        config,
        endpoint,
        awsEnvironment(emulator),
      );
      const look = vaultClient(endpoint, undefined, 1_000);
      nodes.push({ endpoint, server, state: () => health(look).catch(() => undefined) });
      if (n > 0) continue;
      const { rootToken } = await initialize(vaultClient(endpoint, undefined, INIT_MS), {
        pgpKeys: await pgpKeys(3),
        threshold: 2,
      });
      root = rootToken;
      await whenActive(look);
    }
    const { endpoint } = front;
    const rootClient = vaultClient(endpoint, () => root as Secret);
    const identity = await bootstrapInternalVault(rootClient, {
      certificateMaxTtlSeconds: 24 * 3600,
      operatorKey: newOperatorKey().publicKey,
      auditFile: undefined,
    });
    const controlPlane = vaultClient(endpoint, appRoleLogin(endpoint, identity).token);
    return { binary, endpoint, root: rootClient, controlPlane, ca: identity.ca, nodes, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** What infra/cdk gives the nodes, with the emulator's endpoints and without TLS. */
function nodeConfig(emulator: string, kmsKey: string, host: string): Record<string, unknown> {
  return {
    disable_mlock: true,
    ui: false,
    log_format: "json",
    log_level: "info",
    api_addr: `http://${host}:8200`,
    cluster_addr: `https://${host}:8201`,
    storage: {
      s3: {
        bucket: BUCKET,
        region: REGION,
        endpoint: emulator,
        s3_force_path_style: "true",
        disable_ssl: "true",
      },
    },
    ha_storage: { dynamodb: { ha_enabled: "true", table: LOCK, region: REGION, endpoint: emulator } },
    seal: { awskms: { region: REGION, kms_key_id: kmsKey, endpoint: emulator } },
    listener: { tcp: { address: `${host}:8200`, tls_disable: true } },
  };
}

/** Makes bucket and lock table; gives the seal's key. */
async function makeStorage(emulator: string): Promise<string> {
  const location = `<CreateBucketConfiguration><LocationConstraint>${REGION}</LocationConstraint></CreateBucketConfiguration>`;
  await emulated(`${emulator}/${BUCKET}`, "s3", { body: location, method: "PUT" });
  await makeTable(emulator, LOCK);
  return makeKey(emulator);
}

/** A client of a name with several addresses tries the next one where nothing listens. */
async function startName(addresses: () => string[]) {
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.once("end", () => attempt(addresses()));
    function attempt([address, ...others]: string[]): void {
      if (!address) {
        response.destroy();
        return;
      }
      const { method, headers, url = "" } = incoming;
      const outgoing = request(address + url, { method, headers, agent: false }, (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(response);
      });
      outgoing.once("error", () => attempt(others));
      outgoing.end(Buffer.concat(chunks));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    endpoint: { address: `http://127.0.0.1:${(server.address() as AddressInfo).port}` },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

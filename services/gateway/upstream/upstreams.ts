import { X509Certificate } from "node:crypto";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { Pool } from "undici";
import type { DirectoryOrg, LoadedDirectory } from "../../shared/front/published/directory-source.ts";
import { orgServerName } from "../../shared/org.ts";
import { keyDigest } from "../../shared/server-key.ts";
import { Circuit } from "./circuit.ts";

/** An organization's Vault, and the connections to it. */
export interface Upstream {
  id: string;
  address: string;
  /** Digest of the public key that its certificate must have; undefined if the directory names none. */
  serverKey: string | undefined;
  pool: Pool;
  /** Requests sent and not yet answered. */
  pending: number;
  circuit: Circuit;
  times: UpstreamTimes;
}

/** Timeouts for an organization's Vault, in milliseconds. */
export interface UpstreamTimes {
  connectMs: number;
  /** To the response headers, and between two pieces of its body. */
  silenceMs: number;
  /** From sending a request to the last piece of its answer. */
  wholeMs: number;
}

const TIMES: UpstreamTimes = { connectMs: 2_000, silenceMs: 10_000, wholeMs: 30_000 };
const CONNECTIONS = 32;
/** Well below Vault's own five minutes, so that no request uses a connection that Vault is about to close. */
const KEEP_ALIVE_MS = 60_000;

/**
 * The Vaults in the directory. Every new connection requires a certificate from our authority, for the organization's
 * own id and with the key that the directory names: any other server at the address receives no byte of a request.
 */
export class Upstreams {
  readonly #ca: string;
  readonly #times: UpstreamTimes;
  readonly #upstreams = new Map<string, Upstream>();
  #directory: LoadedDirectory | undefined;

  /** `ca` is the authority's certificate, PEM. */
  constructor(ca: string, times: UpstreamTimes = TIMES) {
    this.#ca = ca;
    this.#times = times;
  }

  /** The Vault of an organization in the directory. Connections to Vaults no longer in it are dropped. */
  of({ id, address, serverKey }: DirectoryOrg, directory: LoadedDirectory): Upstream {
    if (directory !== this.#directory) this.#dropThoseNotIn(directory);
    let upstream = this.#upstreams.get(id);
    if (!upstream) {
      const pool = this.#connect(id, address, serverKey);
      const circuit = new Circuit();
      upstream = { id, address, serverKey, pool, pending: 0, circuit, times: this.#times };
      this.#upstreams.set(id, upstream);
    }
    return upstream;
  }

  /** Open circuits, and requests not yet answered. */
  counts(): { openCircuits: number; pending: number } {
    let [openCircuits, pending] = [0, 0];
    for (const upstream of this.#upstreams.values()) {
      if (upstream.circuit.open) openCircuits++;
      pending += upstream.pending;
    }
    return { openCircuits, pending };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#upstreams.values()].map(({ pool }) => pool.destroy()));
  }

  #dropThoseNotIn(directory: LoadedDirectory): void {
    this.#directory = directory;
    const orgs = new Map(directory.orgs.map((org) => [org.id, org]));
    for (const { id, address, serverKey, pool } of this.#upstreams.values()) {
      const org = orgs.get(id);
      if (org?.address === address && org.serverKey === serverKey) continue;
      this.#upstreams.delete(id);
      void pool.close();
    }
  }

  #connect(id: string, address: string, serverKey: string | undefined): Pool {
    const { connectMs, silenceMs } = this.#times;
    return new Pool(address, {
      connections: CONNECTIONS,
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
      headersTimeout: silenceMs,
      bodyTimeout: silenceMs,
      allowH2: false,
      connect: {
        ca: this.#ca,
        servername: orgServerName(id),
        rejectUnauthorized: true,
        timeout: connectMs,
        maxCachedSessions: 0, // a resumed session would not show the certificate again
        ...(serverKey && { checkServerIdentity: identityOf(serverKey) }),
      },
    });
  }
}

/** Node's own check of the name, then of the key. By then TLS has proven that the server holds that key. */
function identityOf(serverKey: string): typeof checkServerIdentity {
  return (name: string, peer: PeerCertificate) => {
    const wrong = checkServerIdentity(name, peer);
    if (wrong) return wrong;
    if (keyDigest(new X509Certificate(peer.raw).publicKey) === serverKey) return undefined;
    return Object.assign(new Error("the certificate's key is not the one that the directory names"), {
      code: "SERVER_KEY_UNKNOWN",
    });
  };
}

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
  /** Digest of the key that it has to show; undefined if the directory names none. */
  serverKey: string | undefined;
  pool: Pool;
  /** Requests sent and not answered yet. */
  pending: number;
  circuit: Circuit;
  times: UpstreamTimes;
}

/** How long an organization's Vault may take, in milliseconds. */
export interface UpstreamTimes {
  connectMs: number;
  /** To the head of an answer, and from each piece of its body to the next. */
  silenceMs: number;
  /** From the sending of a request to the last piece of its answer. */
  wholeMs: number;
}

const TIMES: UpstreamTimes = { connectMs: 2_000, silenceMs: 10_000, wholeMs: 30_000 };
const CONNECTIONS = 32;
/** Vault closes idle connections after five minutes; one of ours must not be used at that very moment. */
const KEEP_ALIVE_MS = 60_000;

/**
 * The Vaults in the directory. A connection is only made to one that shows a certificate by our authority
 * for the organization's own id, of the key that the directory names, each time anew: whatever else answers at
 * the address gets not a byte.
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

  /** The Vault of an organization in the directory. Those that have left it are let go of. */
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

  /** Circuits that are open, and requests not yet answered. */
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

/** Node's own check of the name, then of the key. TLS has shown by then that the server has that key. */
function identityOf(serverKey: string): typeof checkServerIdentity {
  return (name: string, peer: PeerCertificate) => {
    const wrong = checkServerIdentity(name, peer);
    if (wrong) return wrong;
    if (keyDigest(new X509Certificate(peer.raw).publicKey) === serverKey) return undefined;
    return Object.assign(new Error("its certificate is not of the key that the directory names"), {
      code: "SERVER_KEY_UNKNOWN",
    });
  };
}

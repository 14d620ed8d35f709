import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import type { Directory } from "../../../services/shared/directory/directory.ts";
import { DirectorySource } from "../../../services/shared/directory/load.ts";
import { newOrgId } from "../../../services/shared/org.ts";
import { newDirectoryKey, startDirectoryServer } from "../../harness/directory.ts";

/** What a directory of some size costs. */
export interface DirectoryCost {
  orgs: number;
  /** Of the signed text, as it is published and fetched. */
  bytes: number;
  /** To verify and put to use a version that differs in one organization. */
  takeMs: number[];
  /** The same over HTTP, from asking for it: fetched, verified, put to use, kept on disk. */
  updateMs: number[];
  /** Of the gateway's memory, with one version held. */
  heapBytes: number;
  /** Why the gateway does not fetch it; undefined where it does. */
  refused?: string;
}

const UPDATES = 5;
const ISSUER = {
  issuer: "https://tenant.auth.example.com/",
  audience: "https://vault.example.com",
  jwksUri: "https://tenant.auth.example.com/.well-known/jwks.json",
  algorithms: ["RS256" as const],
  orgClaim: "org_id",
  groupsClaim: "https://vault.example.com/groups",
};

/** Fetches, verifies and uses directories of one size with the gateway's own code. */
export async function measureDirectory(count: number): Promise<DirectoryCost> {
  const folder = await mkdtemp(join(tmpdir(), "strongroom-scale-"));
  const copy = join(folder, "directory.jws");
  const key = newDirectoryKey();
  const server = await startDirectoryServer(key);
  const lines: string[] = [];
  const logger = pino({ level: "warn" }, { write: (line) => lines.push(line) });
  const source = new DirectorySource({
    url: server.url,
    keys: key.keys,
    copy,
    logger,
  });
  try {
    const directory = directories(count);
    const jws = await key.sign(directory(1));
    const cost: DirectoryCost = {
      orgs: count,
      bytes: jws.length,
      takeMs: [],
      updateMs: [],
      heapBytes: 0,
    };
    const before = heap();
    for (let version = 1; version <= UPDATES; version++) {
      await writeFile(copy, version === 1 ? jws : await key.sign(directory(version)));
      const begun = performance.now();
      await source.loadCopy();
      cost.takeMs.push(performance.now() - begun);
      checkVersion(source, version, lines);
      if (version === 1) cost.heapBytes = heap() - before;
    }
    for (let version = UPDATES + 1; version <= 2 * UPDATES; version++) {
      await server.publish(await key.sign(directory(version)));
      const begun = performance.now();
      await source.refresh();
      if (source.current?.version !== version) return { ...cost, refused: reason(lines) };
      cost.updateMs.push(performance.now() - begun);
    }
    return cost;
  } finally {
    source.close();
    await server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Versions of a directory of `count` organizations, each of which differs from the others in one. */
export function directories(count: number): (version: number) => Directory {
  const orgs = Array.from({ length: count - 1 }, (_, n) => org(n));
  return (version) => ({
    version,
    issuedAt: new Date().toISOString(),
    issuers: [ISSUER],
    orgs: [...orgs, org(count + version)],
    deleted: [],
  });
}

function checkVersion({ current }: DirectorySource, version: number, lines: string[]): void {
  if (current?.version !== version) throw new Error(`version ${version} is not taken: ${reason(lines)}`);
}

function org(n: number): Directory["orgs"][number] {
  const id = newOrgId();
  const claim = `org_${n.toString(36).padStart(16, "0")}`;
  const serverKey = createHash("sha256").update(id).digest("base64url");
  const address = `https://${id}.vaults.strongroom.example.com:8200`;
  return { id, issuer: ISSUER.issuer, claim, address, serverKey };
}

function heap(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

const reason = (lines: string[]): string =>
  lines.map((line) => JSON.parse(line) as { reason?: string; msg: string }).at(-1)?.reason ?? "not said";

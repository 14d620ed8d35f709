import { isDeepStrictEqual } from "node:util";
import { DIRECTORY_TYP, type Directory } from "../shared/directory/directory.ts";
import type { Issuer } from "../shared/org.ts";
import type { OrgRecord, Publication } from "../shared/registry/records.ts";
import { DIRECTORY_KEY, type Registry } from "../shared/registry/registry.ts";
import type { VaultClient } from "../shared/vault/client.ts";
import { CasConflictError } from "../shared/vault/kv.ts";
import { signCompactJws } from "../shared/vault/transit.ts";

/** The internal Vault's transit key that all that gateways poll is signed by. */
export const SIGNING_KEY = "directory";
const PUBLISH_TRIES = 10;

/** Publishes the directory that gateways poll. */
export interface DirectoryPublisher {
  /** Makes the directory say what the registry says. On return it does, for changes made before the call. */
  publish(): Promise<void>;
  /** The directory as last published; undefined before the first. */
  current(): Publication | undefined;
}

export interface DirectoryOptions {
  vault: VaultClient;
  registry: Registry;
  issuers: Issuer[];
  now(): Date;
}

/** A publisher over the registry. Others may publish at the same time: versions go up one by one. */
export function createDirectory({ vault, registry, issuers, now }: DirectoryOptions): DirectoryPublisher {
  let current: Publication | undefined;
  let running: Promise<void> = Promise.resolve();
  let queued: Promise<void> | undefined;

  async function publish(): Promise<void> {
    for (let tries = 1; ; tries++) {
      // Read before the organizations: whoever publishes later has then seen at least what we see.
      const last = await registry.directory.read(DIRECTORY_KEY);
      const previous = last && payloadOf(last.value.jws);
      const content = directoryContent([...(await registry.orgs.all()).values()], issuers, previous);
      if (last && previous && isDeepStrictEqual(content, contentOf(previous))) {
        current = last.value;
        return;
      }
      const version = (previous?.version ?? 0) + 1;
      const directory: Directory = { version, issuedAt: now().toISOString(), ...content };
      const jws = await signCompactJws(vault, SIGNING_KEY, { typ: DIRECTORY_TYP }, directory);
      try {
        await registry.directory.replace(DIRECTORY_KEY, { version, jws }, last?.version ?? 0);
        current = { version, jws };
        return;
      } catch (error) {
        if (!(error instanceof CasConflictError) || tries === PUBLISH_TRIES) throw error;
      }
    }
  }

  return {
    /** One at a time; calls that come while one is running share the next. */
    publish() {
      queued ??= running
        .catch(() => {})
        .then(() => {
          queued = undefined;
          running = publish();
          return running;
        });
      return queued;
    },
    current: () => current,
  };
}

type Content = Pick<Directory, "issuers" | "orgs" | "deleted">;

/**
 * What the directory should hold. An organization leaves it by being deleted and in no other way: one whose
 * record is in doubt (quarantined, rolled back, lost) keeps the entry it has.
 */
export function directoryContent(
  records: OrgRecord[],
  configured: Issuer[],
  previous: Content | undefined,
): Content {
  const issuers = [...configured];
  const orgs: Directory["orgs"] = [];
  const deleted = new Set(previous?.deleted);
  const known = new Map(previous?.orgs.map(({ id, serverKey }) => [id, serverKey]));
  for (const record of records) {
    const { id, issuer, claim, listen, state, statement, machineTokens } = record;
    if (state === "deleting" || state === "deleted") deleted.add(id);
    if (state !== "ready" || listen === undefined) continue;
    const address = `https://${listen}`;
    const machines = machineTokens ? { machineTokens } : {};
    const serverKey = serverKeyOf(record, known.get(id));
    const proven = { ...(serverKey && { serverKey }), ...(statement !== undefined && { statement }) };
    orgs.push({ id, issuer: issuer.issuer, claim, address, ...proven, ...machines });
    if (!issuers.some((each) => each.issuer === issuer.issuer)) issuers.push(issuer);
  }
  for (const entry of previous?.orgs ?? []) {
    if (deleted.has(entry.id) || orgs.some(({ id }) => id === entry.id)) continue;
    orgs.push(entry);
    const issuer = previous?.issuers.find(({ issuer }) => issuer === entry.issuer);
    if (issuer && !issuers.some((each) => each.issuer === issuer.issuer)) issuers.push(issuer);
  }
  orgs.sort((a, b) => (a.id < b.id ? -1 : 1));
  return { issuers, orgs, deleted: [...deleted].sort() };
}

/**
 * The key that gateways are to expect of an organization's Vault. One that was onboarded before keys were kept gets
 * its key while it runs: that is published when its Vault has loaded it.
 */
function serverKeyOf(
  { serverKey, retiredCertificateSerials }: OrgRecord,
  known: string | undefined,
): string | undefined {
  const isLoaded = known !== undefined || retiredCertificateSerials.length === 0;
  return isLoaded ? serverKey?.digest : undefined;
}

const contentOf = ({ issuers, orgs, deleted }: Directory): Content => ({ issuers, orgs, deleted });

/** What we published ourselves and read back from the registry. */
function payloadOf(jws: string): Directory {
  const [, payload = ""] = jws.split(".");
  return JSON.parse(Buffer.from(payload, "base64url").toString("utf8")) as Directory;
}

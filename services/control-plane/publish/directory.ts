import { isDeepStrictEqual } from "node:util";
import { ORG_STATES } from "../../shared/api/org-states.ts";
import { coalesce } from "../../shared/coalesce.ts";
import { DIRECTORY_TYP, type Directory } from "../../shared/front/published/directory.ts";
import type { Issuer } from "../../shared/org.ts";
import type { VaultClient } from "../../shared/vault/client.ts";
import { retryOnConflict } from "../../shared/vault/kv.ts";
import { signCompactJws } from "../../shared/vault/transit.ts";
import type { OrgRecord, Publication } from "../registry/records.ts";
import { DIRECTORY_KEY, type Registry } from "../registry/registry.ts";

/** The internal Vault's transit key that signs every document that gateways poll. */
export const SIGNING_KEY = "directory";

/** Publishes the directory that gateways poll. */
export interface DirectoryPublisher {
  /** Updates the directory from the registry. On return it has all changes made before the call. */
  publish(): Promise<void>;
  /** The last published directory; undefined before the first. */
  current(): Publication | undefined;
}

export interface DirectoryOptions {
  vault: VaultClient;
  registry: Registry;
  issuers: Issuer[];
  now(): Date;
}

/** A publisher of the registry's directory. Others may publish concurrently: versions increase one by one. */
export function createDirectory({ vault, registry, issuers, now }: DirectoryOptions): DirectoryPublisher {
  let current: Publication | undefined;
  const publish = (): Promise<Publication> =>
    retryOnConflict(async () => {
      // Read before the organizations: a publisher of a later version has then seen at least the same ones.
      const last = await registry.directory.read(DIRECTORY_KEY);
      const previous = last && payloadOf(last.value.jws);
      const content = directoryContent([...(await registry.orgs.all()).values()], issuers, previous);
      if (last && previous && isDeepStrictEqual(content, contentOf(previous))) return last.value;
      const version = (previous?.version ?? 0) + 1;
      const directory: Directory = { version, issuedAt: now().toISOString(), ...content };
      const jws = await signCompactJws(vault, SIGNING_KEY, { typ: DIRECTORY_TYP }, directory);
      const publication = { version, jws };
      await registry.directory.replace(DIRECTORY_KEY, publication, last?.version ?? 0);
      return publication;
    });

  return {
    publish: coalesce(async () => {
      current = await publish();
    }),
    current: () => current,
  };
}

type Content = Pick<Directory, "issuers" | "orgs" | "deleted">;

/**
 * The directory's desired content. Only its deletion removes an organization: one whose record is in doubt
 * (quarantined, rolled back, lost) keeps its entry.
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
    const { id, issuer, claim, listen, statement, machineTokens } = record;
    const { served, withdrawn } = ORG_STATES[record.state];
    if (withdrawn) deleted.add(id);
    if (!served || listen === undefined) continue;
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
 * The key that gateways must expect of an organization's Vault. An organization that was onboarded before keys were
 * recorded gets its key while it runs: the key is published once its Vault has loaded it.
 */
function serverKeyOf(
  { serverKey, retiredCertificateSerials }: OrgRecord,
  known: string | undefined,
): string | undefined {
  const isLoaded = known !== undefined || retiredCertificateSerials.length === 0;
  return isLoaded ? serverKey?.digest : undefined;
}

const contentOf = ({ issuers, orgs, deleted }: Directory): Content => ({ issuers, orgs, deleted });

/** The payload of a directory from the registry, which this service signed itself. */
function payloadOf(jws: string): Directory {
  const [, payload = ""] = jws.split(".");
  return JSON.parse(Buffer.from(payload, "base64url").toString("utf8")) as Directory;
}

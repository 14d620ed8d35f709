import type { KeyObject } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { DIRECTORY_TYP, Directory } from "./directory.ts";
import { ownershipSerial } from "./ownership.ts";
import { readSigned } from "./signed-document.ts";

/** Why a directory was refused. */
export type DirectoryRefusal =
  | "signature"
  | "form"
  | "older"
  | "same_version_differs"
  | "issuer_repeated"
  | "issuer_unknown"
  | "pair_repeated"
  | "org_repeated"
  | "org_deleted"
  | "pair_moved"
  | "key_changed"
  | "owner_unproven"
  | "org_claim_changed";

/** A directory that must not be used; `detail` says why. */
export class DirectoryRefused extends Error {
  override name = "DirectoryRefused";
  readonly reason: DirectoryRefusal;

  constructor(reason: DirectoryRefusal, detail: string) {
    super(`the directory is refused (${reason}): ${detail}`);
    this.reason = reason;
  }
}

const KIND = {
  typ: DIRECTORY_TYP,
  schema: Directory,
  refuse: (reason: "signature" | "form", detail: string) => new DirectoryRefused(reason, detail),
};

/** The public keys that a directory is verified with. */
export interface DirectoryKeys {
  /** Verifies directories, which the control plane has signed. */
  directory: KeyObject;
  /** Verifies statements of ownership, which operators have signed. */
  ownership: KeyObject;
}

/** The pair that owns an id, and the serial of the operator's statement for it. */
interface HeldOwner {
  pair: string;
  serial: number;
}

/** The directory in use, and what is remembered from earlier ones. */
export interface HeldDirectory {
  directory: Directory;
  /** Every pair ever seen, with the id it last belonged to. */
  pairs: ReadonlyMap<string, string>;
  /** Every id ever seen with a server key, with that key. */
  serverKeys: ReadonlyMap<string, string>;
  /** Every id ever seen, with its pair and the serial of the statement for it; 0 without a statement. */
  owners: ReadonlyMap<string, HeldOwner>;
  /** Every issuer ever seen, with the claim that holds its organizations' ids. */
  orgClaims: ReadonlyMap<string, string>;
}

/** A pair's key in {@link HeldDirectory}. A claim contains no line break, so it is unambiguous. */
export const pairName = (issuer: string, claim: string): string => `${issuer}\n${claim}`;

/**
 * Verifies a published directory with the configured public keys, and compares it with the one in use. Refused are: an
 * older version, a different directory of the same version, one that assigns a known pair to another id without listing
 * the old id as deleted, one that changes a known id's server key, and one that reads an issuer's tokens by another
 * claim, which would assign them to other pairs. A known id keeps its pair, unless an operator has signed a newer
 * statement than any seen for it. Throws {@link DirectoryRefused}.
 */
export async function verifyDirectory(
  jws: string,
  keys: DirectoryKeys,
  held?: HeldDirectory,
): Promise<HeldDirectory> {
  const directory = await readSigned(jws, keys.directory, KIND);
  checkSound(directory);
  if (held) checkFollows(directory, held);
  const owners = new Map(held?.owners);
  for (const org of directory.orgs) {
    const serial = await ownershipSerial(org.statement, keys.ownership, org);
    const owner = { pair: pairName(org.issuer, org.claim), serial };
    checkOwner(org.id, owner, owners.get(org.id));
    owners.set(org.id, owner);
  }
  const pairs = new Map(held?.pairs);
  const serverKeys = new Map(held?.serverKeys);
  for (const { issuer, claim, id, serverKey } of directory.orgs) {
    pairs.set(pairName(issuer, claim), id);
    if (serverKey) serverKeys.set(id, serverKey);
  }
  const orgClaims = new Map(held?.orgClaims);
  for (const { issuer, orgClaim } of directory.issuers) orgClaims.set(issuer, orgClaim);
  return { directory, pairs, serverKeys, owners, orgClaims };
}

/** Pairs that a directory moves to another id, which is how a thief would evade the check of a live id's key. */
export function movedPairs(
  { directory }: HeldDirectory,
  before: HeldDirectory | undefined,
): { from: string; to: string }[] {
  return directory.orgs.flatMap(({ issuer, claim, id }) => {
    const from = before?.pairs.get(pairName(issuer, claim));
    return from === undefined || from === id ? [] : [{ from, to: id }];
  });
}

function checkSound(directory: Directory): void {
  const issuers = new Set<string>();
  for (const { issuer } of directory.issuers) {
    if (issuers.has(issuer)) throw new DirectoryRefused("issuer_repeated", issuer);
    issuers.add(issuer);
  }
  const deleted = new Set(directory.deleted);
  const ids = new Set<string>();
  const pairs = new Set<string>();
  for (const { id, issuer, claim, address } of directory.orgs) {
    const pair = pairName(issuer, claim);
    if (!issuers.has(issuer)) throw new DirectoryRefused("issuer_unknown", `${id} has ${issuer}`);
    if (pairs.has(pair)) throw new DirectoryRefused("pair_repeated", claim);
    if (ids.has(id)) throw new DirectoryRefused("org_repeated", id);
    if (deleted.has(id)) throw new DirectoryRefused("org_deleted", id);
    if (!isOrigin(address))
      throw new DirectoryRefused("form", `the address of ${id} is not https://host:port`);
    pairs.add(pair);
    ids.add(id);
  }
}

function checkFollows(directory: Directory, held: HeldDirectory): void {
  const { version } = held.directory;
  if (directory.version < version) {
    throw new DirectoryRefused(
      "older",
      `version ${directory.version} is older than the one in use, ${version}`,
    );
  }
  if (directory.version === version && !isDeepStrictEqual(directory, held.directory)) {
    throw new DirectoryRefused(
      "same_version_differs",
      `its content differs from the one in use, also version ${version}`,
    );
  }
  for (const { issuer, orgClaim } of directory.issuers) {
    const before = held.orgClaims.get(issuer) ?? orgClaim;
    if (before !== orgClaim) {
      throw new DirectoryRefused("org_claim_changed", `${issuer}: from ${before} to ${orgClaim}`);
    }
  }
  const deleted = new Set(directory.deleted);
  for (const { issuer, claim, id, serverKey } of directory.orgs) {
    const keyBefore = held.serverKeys.get(id);
    if (keyBefore !== undefined && keyBefore !== serverKey) {
      throw new DirectoryRefused("key_changed", `it names another key for the Vault of ${id}`);
    }
    const before = held.pairs.get(pairName(issuer, claim));
    if (before !== undefined && before !== id && !deleted.has(before)) {
      throw new DirectoryRefused("pair_moved", `${claim} of ${issuer} moved from ${before} to ${id}`);
    }
  }
}

/**
 * An id keeps its pair and its statement, or gets a newer statement. Without the statement, the copy on disk would lose
 * the serial, and an older statement would be valid again.
 */
function checkOwner(id: string, now: HeldOwner, before: HeldOwner | undefined): void {
  if (!before || now.serial > before.serial) return;
  if (now.serial === before.serial && now.pair === before.pair) return;
  const what = now.pair === before.pair ? "lacks its owner's statement" : "has another owner";
  throw new DirectoryRefused(
    "owner_unproven",
    `${id} ${what}, without an operator's statement newer than serial ${before.serial}`,
  );
}

function isOrigin(address: string): boolean {
  return URL.canParse(address) && new URL(address).origin === address;
}

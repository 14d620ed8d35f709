import type { KeyObject } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { readSigned } from "../signed-document.ts";
import { DIRECTORY_TYP, Directory } from "./directory.ts";
import { ownershipSerial } from "./ownership.ts";

/** Why a directory was not taken. */
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

/** A directory that is not to be used; `detail` names what was wrong with it. */
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
  /** The control plane has directories signed by it. */
  directory: KeyObject;
  /** Operators have statements of ownership signed by it. */
  ownership: KeyObject;
}

/** A pair that an id belongs to, and the serial of the operator's statement that says so. */
interface HeldOwner {
  pair: string;
  serial: number;
}

/** The directory in use, and what directories before it have said. */
export interface HeldDirectory {
  directory: Directory;
  /** Every pair that was ever seen, with the id it belonged to last. */
  pairs: ReadonlyMap<string, string>;
  /** Every id that was ever seen with a server key, with that key. */
  serverKeys: ReadonlyMap<string, string>;
  /** Every id that was ever seen, with its pair and the serial of the statement for it; 0 without a statement. */
  owners: ReadonlyMap<string, HeldOwner>;
  /** Every issuer that was ever seen, with the claim that holds its organizations' ids. */
  orgClaims: ReadonlyMap<string, string>;
}

/** What names a pair in {@link HeldDirectory}. A claim holds no line break, so it is unambiguous. */
export const pairName = (issuer: string, claim: string): string => `${issuer}\n${claim}`;

/**
 * Verifies a published directory with the public keys configured, and holds it against the one in use:
 * an older one, another one of the same version, one that gives a known pair to another id unless it lists the
 * old id as deleted, and one that gives a known id another server key are refused; so is one that has an issuer's
 * tokens read by another claim, by which they would belong to other pairs. A known id keeps its pair, unless an
 * operator has signed a newer statement than was seen for it. Throws {@link DirectoryRefused}.
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

/** Pairs that a directory gives to another id than had them: the way of whoever cannot change a living one's key. */
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
    throw new DirectoryRefused("older", `version ${directory.version}, in use is ${version}`);
  }
  if (directory.version === version && !isDeepStrictEqual(directory, held.directory)) {
    throw new DirectoryRefused("same_version_differs", `version ${version}`);
  }
  for (const { issuer, orgClaim } of directory.issuers) {
    const before = held.orgClaims.get(issuer) ?? orgClaim;
    if (before !== orgClaim) {
      throw new DirectoryRefused("org_claim_changed", `from ${before} to ${orgClaim}, of ${issuer}`);
    }
  }
  const deleted = new Set(directory.deleted);
  for (const { issuer, claim, id, serverKey } of directory.orgs) {
    const keyBefore = held.serverKeys.get(id);
    if (keyBefore !== undefined && keyBefore !== serverKey) {
      throw new DirectoryRefused("key_changed", `the Vault of ${id} would have another key than it had`);
    }
    const before = held.pairs.get(pairName(issuer, claim));
    if (before !== undefined && before !== id && !deleted.has(before)) {
      throw new DirectoryRefused("pair_moved", `${claim} of ${issuer} went from ${before} to ${id}`);
    }
  }
}

/**
 * An id keeps its pair and its statement, or has a newer statement: without the statement a copy of the directory
 * would forget the serial, and an older statement would be good again.
 */
function checkOwner(id: string, now: HeldOwner, before: HeldOwner | undefined): void {
  if (!before || now.serial > before.serial) return;
  if (now.serial === before.serial && now.pair === before.pair) return;
  const what = now.pair === before.pair ? "comes without its owner's statement" : "would have another owner";
  throw new DirectoryRefused(
    "owner_unproven",
    `${id} ${what}, and no operator has signed that since statement ${before.serial}`,
  );
}

function isOrigin(address: string): boolean {
  return URL.canParse(address) && new URL(address).origin === address;
}

import type { KeyObject } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { readSigned } from "../signed-document.ts";
import { DIRECTORY_TYP, Directory } from "./directory.ts";

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
  | "pair_moved";

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

/** The directory in use, and every pair that was ever seen with the id it belonged to last. */
export interface HeldDirectory {
  directory: Directory;
  pairs: ReadonlyMap<string, string>;
}

/** What names a pair in {@link HeldDirectory}. A claim holds no line break, so it is unambiguous. */
export const pairName = (issuer: string, claim: string): string => `${issuer}\n${claim}`;

/**
 * Verifies a published directory with the one public key configured, and holds it against the one in use:
 * an older one, another one of the same version, and one that gives a known pair to another id are
 * refused, the last unless it lists the old id as deleted. Throws {@link DirectoryRefused}.
 */
export async function verifyDirectory(
  jws: string,
  key: KeyObject,
  held?: HeldDirectory,
): Promise<HeldDirectory> {
  const directory = await readSigned(jws, key, KIND);
  checkSound(directory);
  if (held) checkFollows(directory, held);
  const pairs = new Map(held?.pairs);
  for (const { issuer, claim, id } of directory.orgs) pairs.set(pairName(issuer, claim), id);
  return { directory, pairs };
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
  const deleted = new Set(directory.deleted);
  for (const { issuer, claim, id } of directory.orgs) {
    const before = held.pairs.get(pairName(issuer, claim));
    if (before !== undefined && before !== id && !deleted.has(before)) {
      throw new DirectoryRefused("pair_moved", `${claim} of ${issuer} went from ${before} to ${id}`);
    }
  }
}

function isOrigin(address: string): boolean {
  return URL.canParse(address) && new URL(address).origin === address;
}

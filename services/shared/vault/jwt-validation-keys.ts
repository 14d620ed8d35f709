import { createPublicKey } from "node:crypto";
import type { Issuer } from "../org.ts";
import type { VaultClient } from "./client.ts";
import { jwtConfig } from "./jwt-auth.ts";

const CONFIG = "auth/jwt/config";
/** A rotation has two keys, a hurried one three; a Vault tries each on every login. */
const MAX_KEYS = 20;

/** How it is said where a Vault's keys are not its issuer's: missing, or one too many. */
export const KEY_MISSING = "a key is missing: tokens signed by it are refused";
export const KEY_TO_REMOVE = "a key is taken that its issuer no longer shows";

/** What was done to the keys by which an organization's Vault knows its issuer; PEM. */
export interface KeyChange {
  added: string[];
  removed: string[];
  /** What it takes now. */
  keys: string[];
}

/**
 * Has an organization's Vault take the issuer's keys: beside those that it takes already, or with `finish` in
 * their place. Logins go on meanwhile: Vault changes from one set to the other at once. Takes a login at
 * `platform-maintain`. Throws where there would be no key, or too many.
 */
export async function changeIssuerKeys(
  client: VaultClient,
  issuer: Issuer,
  issuerKeys: string[],
  { finish }: { finish: boolean },
): Promise<KeyChange> {
  const before = await readKeys(client);
  const wanted = canonical(finish ? issuerKeys : [...before, ...issuerKeys]);
  if (issuerKeys.length === 0) throw new Error("the issuer shows no key");
  if (wanted.length > MAX_KEYS)
    throw new Error(`it would take ${wanted.length} keys; finish a rotation first`);
  const { added, removed } = compareKeys(wanted, before);
  if (added.length + removed.length > 0) {
    const { issuer: name, algorithms } = issuer;
    await client.write(CONFIG, jwtConfig({ issuer: name, algorithms, keys: wanted, roles: {} }));
    const after = await readKeys(client);
    const left = compareKeys(wanted, after);
    if (left.added.length + left.removed.length > 0)
      throw new Error("its Vault did not keep what was written");
  }
  return { added, removed, keys: wanted };
}

/** Which keys have to be added to those present, and which removed, however their PEM is written. */
export function compareKeys(wanted: string[], present: string[]): Pick<KeyChange, "added" | "removed"> {
  const [want, have] = [canonical(wanted), canonical(present)];
  return {
    added: want.filter((key) => !have.includes(key)),
    removed: have.filter((key) => !want.includes(key)),
  };
}

async function readKeys(client: VaultClient): Promise<string[]> {
  const { data } = (await client.read(CONFIG)) as { data: { jwt_validation_pubkeys: string[] } };
  return canonical(data.jwt_validation_pubkeys);
}

const canonical = (pems: string[]): string[] => [
  ...new Set(pems.map((pem) => createPublicKey(pem).export({ type: "spki", format: "pem" }).toString())),
];

import { createPublicKey } from "node:crypto";
import type { Issuer } from "../org.ts";
import type { VaultClient } from "./client.ts";
import { jwtConfig } from "./jwt-auth.ts";

const CONFIG = "auth/jwt/config";
/** A rotation needs two keys, overlapping ones three; Vault tries each key on every login. */
const MAX_KEYS = 20;

/** The texts for drift between a Vault's keys and its issuer's. */
export const KEY_MISSING = "a key is missing: tokens signed by it are refused";
export const KEY_TO_REMOVE = "a key is accepted that the issuer no longer publishes";

/** A change of the issuer's keys in an organization's Vault; PEM. */
export interface KeyChange {
  added: string[];
  removed: string[];
  /** The keys accepted now. */
  keys: string[];
}

/**
 * Makes an organization's Vault accept the issuer's keys: in addition to its current keys, or with `finish` instead of
 * them. Logins continue meanwhile: Vault switches the set atomically. Requires a login at `platform-maintain`. Throws
 * if there would be no key, or too many.
 */
export async function changeIssuerKeys(
  client: VaultClient,
  issuer: Issuer,
  issuerKeys: string[],
  { finish }: { finish: boolean },
): Promise<KeyChange> {
  const before = await readKeys(client);
  const wanted = canonical(finish ? issuerKeys : [...before, ...issuerKeys]);
  if (issuerKeys.length === 0) throw new Error("the issuer publishes no key");
  if (wanted.length > MAX_KEYS)
    throw new Error(
      `the Vault would have ${wanted.length} keys, more than ${MAX_KEYS}; finish a rotation first`,
    );
  const { added, removed } = compareKeys(wanted, before);
  if (added.length + removed.length > 0) {
    const { issuer: name, algorithms } = issuer;
    await client.write(CONFIG, jwtConfig({ issuer: name, algorithms, keys: wanted, roles: {} }));
    const after = await readKeys(client);
    const left = compareKeys(wanted, after);
    if (left.added.length + left.removed.length > 0)
      throw new Error("the Vault did not store the keys that were written");
  }
  return { added, removed, keys: wanted };
}

/** The keys to add to the present ones, and those to remove, independent of their PEM formatting. */
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

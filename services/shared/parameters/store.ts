import type { Secret } from "../secret.ts";

/**
 * Where secrets that an instance needs at start lie: SSM SecureStrings on AWS, 0600 files on one machine.
 * Names are absolute, like `/strongroom/orgs/<id>/unseal-token`.
 */
export interface ParameterStore {
  /** Writes or overwrites; the old value is never readable in part. */
  put(name: string, value: Secret): Promise<void>;
  /** The value, or undefined where there is none. */
  get(name: string): Promise<Secret | undefined>;
  /** Deletes; deleting what is not there is no error. */
  delete(name: string): Promise<void>;
  /** Names that start with the prefix (a path ending in `/`). */
  list(prefix: string): Promise<string[]>;
}

/** The parameters of one organization's instance. */
export const orgParameters = (prefix: string, org: string) => ({
  unsealToken: `${prefix}/orgs/${org}/unseal-token`,
  certificate: `${prefix}/orgs/${org}/tls-certificate`,
  key: `${prefix}/orgs/${org}/tls-key`,
});

/**
 * The name itself, if it is one that every store takes: `/` and segments of letters, digits, `_`, `-` and
 * `.`, 200 characters at most. Throws otherwise.
 */
export function checkParameterName(name: string): string {
  if (name.length > 200 || !/^(\/(?!\.{1,2}(\/|$))[A-Za-z0-9_.-]+)+$/.test(name)) {
    throw new TypeError(`not a parameter's name: ${JSON.stringify(name.slice(0, 200))}`);
  }
  return name;
}

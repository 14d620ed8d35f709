import type { Secret } from "../secret.ts";

/**
 * The store of secrets that an instance needs at start: SSM SecureStrings on AWS, 0600 files on one machine.
 * Names are absolute, like `/strongroom/orgs/<id>/unseal-token`.
 */
export interface ParameterStore {
  /** Writes or overwrites atomically. */
  put(name: string, value: Secret): Promise<void>;
  /** The value, or undefined if there is none. */
  get(name: string): Promise<Secret | undefined>;
  /** Deletes a parameter; a missing one is no error. */
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
 * Returns the name if every store accepts it: `/` and segments of letters, digits, `_`, `-` and `.`, at most 200
 * characters. Throws otherwise.
 */
export function checkParameterName(name: string): string {
  if (name.length > 200 || !/^(\/(?!\.{1,2}(\/|$))[A-Za-z0-9_.-]+)+$/.test(name)) {
    throw new TypeError(`not a valid parameter name: ${JSON.stringify(name.slice(0, 200))}`);
  }
  return name;
}

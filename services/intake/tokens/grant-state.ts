import type { Key, Store, Write } from "../store/store.ts";

/** What is known of a credential's grant, apart from its record. It holds for one version: a new value begins anew. */
export interface GrantState {
  version: number;
  /** When the provider last replaced the refresh token. */
  refreshedAt?: string;
  /** The provider does not accept the value any more. */
  broken?: { at: string; reason: string };
}

const grantKey = (org: string, name: string): Key => ({ partition: `org/${org}/grants`, sort: name });

/** The state of a credential's grant, of its current version. */
export async function readGrantState(
  store: Store,
  org: string,
  { name, version }: { name: string; version: number },
): Promise<GrantState | undefined> {
  const found = await store.get<GrantState>(grantKey(org, name));
  return found?.body.version === version ? found.body : undefined;
}

export const grantStateWrite = (org: string, name: string, state: GrantState): Write => ({
  ...grantKey(org, name),
  body: state,
});

export const removeGrantState = (org: string, name: string): Write => ({
  ...grantKey(org, name),
  remove: true,
});

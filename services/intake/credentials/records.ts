import type { BrokerCredential, Credential, IntegrationCredential } from "../../shared/api/credentials.ts";
import { brokerPolicyHash } from "../../shared/broker/policy.ts";
import { policyHash } from "../../shared/work/destination.ts";
import type { SealedValue } from "../../shared/work/messages.ts";
import type { Key, Store } from "../store/store.ts";

/** A credential without its value. */
export type IntegrationRecord = Omit<IntegrationCredential, "lastUsedAt">;
export type BrokerRecord = Omit<BrokerCredential, "lastUsedAt">;
export type CredentialRecord = IntegrationRecord | BrokerRecord;

/** The hash of a credential's destination: the member `policy` of its encryption context. */
export const policyHashOf = (record: Pick<Credential, "purpose" | "destination">): string => {
  const { purpose, destination } = record as CredentialRecord;
  return purpose === "broker" ? brokerPolicyHash(destination) : policyHash(destination);
};

/** Whether a connection made a credential: only connections change and delete it. */
export const isConnections = (
  record: CredentialRecord | undefined,
): record is BrokerRecord & { connection: true } =>
  record?.purpose === "broker" && record.connection === true;

type Version = Credential["versions"][number];
/** The last versions that a record tells of. */
const VERSIONS_LISTED = 20;

/** The versions of a record after a new one. */
export const withVersion = (added: Version, before: readonly Version[] = []): Version[] =>
  [added, ...before].slice(0, VERSIONS_LISTED);

export const credentialsPartition = (org: string): string => `org/${org}/credentials`;
export const credentialKey = (org: string, name: string): Key => ({
  partition: credentialsPartition(org),
  sort: name,
});

/** A credential's value of the newest version as it is kept: only a worker can open it. */
export interface StoredMaterial {
  version: number;
  /** `privateKey` is the sealing key's and is kept with that, not here. */
  material: { envelope: string } | { sealed: SealedValue };
  /** The provider's id of the key, if a rotation has made it. It stays with the value, whatever its version. */
  key?: string;
}

export const materialsPartition = (org: string): string => `org/${org}/materials`;
export const materialKey = (org: string, name: string): Key => ({
  partition: materialsPartition(org),
  sort: name,
});

/** What stays of a deleted credential, so that no version number is ever used twice for a name. */
export interface DeletedCredential {
  version: number;
  deletedAt: string;
}

export const deletedKey = (org: string, name: string): Key => ({
  partition: `org/${org}/deleted-credentials`,
  sort: name,
});

/** When a credential was last used, apart from its record so that uses do not change that. */
export const lastUsedPartition = (org: string): string => `org/${org}/last-used`;

/** The version that the next value of a name has. */
export async function nextVersion(store: Store, org: string, name: string): Promise<number> {
  const [current, deleted] = await Promise.all([
    store.get<CredentialRecord>(credentialKey(org, name)),
    store.get<DeletedCredential>(deletedKey(org, name)),
  ]);
  return Math.max(current?.body.version ?? 0, deleted?.body.version ?? 0) + 1;
}

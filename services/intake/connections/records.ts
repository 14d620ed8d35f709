import type { StartConnection } from "../../shared/api/connections.ts";
import type { ProviderChoice } from "../../shared/broker/connections.ts";
import type { Key } from "../store/store.ts";

/** What the intake knows of a connection beside its credential of the same name. */
export interface ConnectionRecord {
  name: string;
  provider: ProviderChoice;
  client: StartConnection["client"];
  askedScopes: string[];
  /** As granted; those of the credential's grant, if it has one, are the ones that count. */
  scopes: string[];
  origin: string;
  connectedBy: { issuer: string; subject: string };
  connectedAt: string;
  /** Its credential is deleted, and the provider was not told, for this reason. */
  notRevoked?: string;
}

export const connectionsPartition = (org: string): string => `org/${org}/connections`;
export const connectionKey = (org: string, name: string): Key => ({
  partition: connectionsPartition(org),
  sort: name,
});

/** A flow that a member has begun. Only the broker opens the envelope. */
export interface FlowRecord {
  /** Of the request that began it. */
  id: string;
  envelope: string;
  provider: ProviderChoice;
  client: StartConnection["client"];
  scopes: string[];
  /** Of the token endpoint. */
  host: string;
}

/** One for each connection and member: nobody can complete another member's, or replace it. */
export const flowKey = (org: string, name: string, member: string): Key => ({
  partition: `org/${org}/connection-flows`,
  sort: `${name}/${member}`,
});

export const settingsKey = (org: string): Key => ({
  partition: `org/${org}/connection-settings`,
  sort: "settings",
});

import type { Connection } from "../../shared/api/connections.ts";
import { StrongroomError } from "../../shared/errors.ts";
import {
  type BrokerRecord,
  type CredentialRecord,
  credentialKey,
  isConnections,
} from "../credentials/records.ts";
import type { Item, Store } from "../store/store.ts";
import { type GrantState, readGrantState } from "../tokens/grant-state.ts";
import { type ConnectionRecord, connectionKey } from "./records.ts";

/** A connection's record. Throws `not_found`, also for another organization's. */
export async function readConnection(
  store: Store,
  org: string,
  name: string,
): Promise<Item<ConnectionRecord>> {
  const found = await store.get<ConnectionRecord>(connectionKey(org, name));
  if (!found) throw new StrongroomError("not_found", "There is no such connection.");
  return found;
}

/** Throws `conflict` if the name is that of a credential that no connection has made. */
export async function checkReplaceable(store: Store, org: string, name: string): Promise<void> {
  const found = await store.get<CredentialRecord>(credentialKey(org, name));
  if (!found || isConnections(found.body)) return;
  const detail = "There is a credential of this name that was put. Delete it first, or choose another name.";
  throw new StrongroomError("conflict", detail);
}

/** A connection as the API shows it, by what is known of its credential. */
export async function showConnection(
  store: Store,
  org: string,
  record: ConnectionRecord,
): Promise<Connection> {
  const { name, provider, client, askedScopes, origin, connectedBy, connectedAt, notRevoked } = record;
  const found = await store.get<CredentialRecord>(credentialKey(org, name));
  const credential = isConnections(found?.body) ? found.body : undefined;
  const state = credential && (await readGrantState(store, org, credential));
  const grant = credential?.destination.grant;
  return {
    ...{
      name,
      provider,
      client,
      askedScopes,
      origin,
      connectedBy,
      connectedAt,
      ...stateOf(credential, state, notRevoked),
    },
    ...(state?.refreshedAt !== undefined && { refreshedAt: state.refreshedAt }),
    scopes: grant && "scopes" in grant ? grant.scopes : record.scopes,
  };
}

function stateOf(
  credential: BrokerRecord | undefined,
  state: GrantState | undefined,
  notRevoked: string | undefined,
): Pick<Connection, "state" | "detail"> {
  if (notRevoked !== undefined) return { state: "not_revoked", detail: notRevoked };
  if (!credential) return { state: "broken", detail: "Its credential is gone." };
  if (state?.broken) {
    const detail = `Since ${state.broken.at} ${state.broken.reason}. Connect it again.`;
    return { state: "broken", detail };
  }
  return { state: "connected" };
}

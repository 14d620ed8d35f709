import type { DeletedConnection } from "../../shared/api/connections.ts";
import type { SealedCredential } from "../../shared/broker/calls.ts";
import { type ConnectionRevoke, ConnectionRevoked } from "../../shared/broker/connections.ts";
import { revocationOf } from "../../shared/broker/revocation.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { deletionWrites } from "../credentials/credentials.ts";
import { loadUsable } from "../credentials/load.ts";
import { type CredentialRecord, credentialKey } from "../credentials/records.ts";
import { retryConflicts } from "../retry-conflicts.ts";
import { loadClientSecret } from "./client-secret.ts";
import { readConnection } from "./connections.ts";
import type { Connector } from "./connector.ts";
import { askBroker, type ConnectionParts } from "./parts.ts";
import { recorded } from "./recorded.ts";
import { type ConnectionRecord, connectionKey } from "./records.ts";

type Of = Pick<ConnectionRecord, "provider" | "client">;

/** Has a grant revoked at its provider, with a receipt. False if the provider has no way. Throws StrongroomError. */
export async function revokeGrant(
  parts: ConnectionParts,
  { org, id, token, by }: Connector,
  credential: SealedCredential,
  { provider, client }: Of,
  signal: AbortSignal,
): Promise<boolean> {
  const { name, version, policy } = credential;
  const revocation = revocationOf(policy, provider);
  if (!revocation) return false;
  const { host } = new URL(revocation.endpoint);
  // The secret is sealed with a refresh token; without one it is needed again.
  const secret = policy.grant ? undefined : await loadClientSecret(parts.intake.store, org, client, provider);
  const method = revocation.type === "github" ? "DELETE" : "POST";
  const intent = { id, action: "revoke", by, credential: name, version, host, method } as const;
  const { outcome } = await recorded(parts, org, intent, (receipt) => {
    const call: ConnectionRevoke = {
      ...{ id, token, org, receipt, credential, provider, clientId: client.id, ...(secret && { secret }) },
    };
    return askBroker(parts, "connection-revoke", call, ConnectionRevoked, signal);
  });
  return outcome === "revoked";
}

/**
 * Ends a connection: revokes the grant at its provider, then deletes the credential. If the provider cannot be told,
 * nothing is deleted unless `force` is set; then the connection stays listed as `not_revoked`, without its credential.
 * Throws StrongroomError.
 */
export async function endConnection(
  parts: ConnectionParts,
  member: Connector,
  name: string,
  { force = false }: { force?: boolean },
  signal: AbortSignal,
): Promise<DeletedConnection> {
  const { store } = parts.intake;
  const { org } = member;
  const { body: connection } = await readConnection(store, org, name);
  const found = await loadUsable(store, org, name);
  const record = found?.record.purpose === "broker" ? found.record : undefined;
  let isRevoked = false;
  let reason: string | undefined = connection.notRevoked;
  if (found && record) {
    const { version, destination: policy } = record;
    try {
      const sealed = { name, version, policy, material: found.material };
      isRevoked = await revokeGrant(parts, member, sealed, connection, signal);
      if (!isRevoked)
        reason = "The provider has no way to revoke it from here. End it in the provider's settings.";
    } catch (error) {
      if (!(error instanceof StrongroomError)) throw error;
      if (!force) throw error;
      reason = `${error.message} End it in the provider's settings.`;
    }
  }
  // One that could not be revoked is kept in the list, until it is deleted from there.
  const isKept = record !== undefined && !isRevoked;
  await deleteBoth(
    parts,
    org,
    name,
    isKept && reason !== undefined ? { ...connection, notRevoked: reason } : undefined,
  );
  return { name, isRevoked, ...(!isRevoked && reason !== undefined && { detail: reason }) };
}

async function deleteBoth(
  { intake }: ConnectionParts,
  org: string,
  name: string,
  kept: ConnectionRecord | undefined,
): Promise<void> {
  const { store } = intake;
  await retryConflicts(async () => {
    const found = await store.get<CredentialRecord>(credentialKey(org, name));
    const isWritten = await store.write([
      kept ? { ...connectionKey(org, name), body: kept } : { ...connectionKey(org, name), remove: true },
      ...(found ? await deletionWrites(intake, org, found) : []),
    ]);
    return isWritten || undefined;
  });
}

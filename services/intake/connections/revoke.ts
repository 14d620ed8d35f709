import type { DeletedConnection } from "../../shared/api/connections.ts";
import type { SealedCredential } from "../../shared/broker/calls.ts";
import { type ConnectionRevoke, ConnectionRevoked } from "../../shared/broker/connections.ts";
import { revocationOf } from "../../shared/broker/revocation.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { deletionWrites } from "../credentials/credentials.ts";
import { loadUsable } from "../credentials/load.ts";
import { type CredentialRecord, credentialKey, isConnections } from "../credentials/records.ts";
import { recorded } from "../receipts/recorded.ts";
import { retryConflicts } from "../retry-conflicts.ts";
import { withGrantLease } from "../tokens/lease.ts";
import { loadClientSecret } from "./client-secret.ts";
import { readConnection } from "./connections.ts";
import type { Connector } from "./connector.ts";
import { askBroker, type ConnectionParts } from "./parts.ts";
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
  const { outcome } = await recorded(parts.receipts, org, intent, (receipt) => {
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
  const { body: connection } = await readConnection(parts.intake.store, member.org, name);
  // What is revoked is the newest value: nobody refreshes it meanwhile.
  return withGrantLease(parts.intake, member.org, name, async () => {
    const reason = await revoked(parts, member, connection, force, signal);
    // One that could not be revoked stays in the list, without its credential, until it is deleted from there.
    const isMarked = reason !== undefined && connection.notRevoked === undefined;
    await deleteBoth(parts, member.org, name, isMarked ? { ...connection, notRevoked: reason } : undefined);
    return { name, isRevoked: reason === undefined, ...(reason !== undefined && { detail: reason }) };
  });
}

/** Revokes the grant of a connection, if there is one. Returns why it is not revoked; throws that unless `force` is set. */
async function revoked(
  parts: ConnectionParts,
  member: Connector,
  connection: ConnectionRecord,
  force: boolean,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { name } = connection;
  const found = await loadUsable(parts.intake.store, member.org, name);
  // One of its name that was put since is not its own.
  if (!found || !isConnections(found.record))
    return connection.notRevoked ?? `Its credential is gone. ${BY_HAND}`;
  const { version, destination: policy } = found.record;
  try {
    const credential = { name, version, policy, material: found.material };
    const isRevoked = await revokeGrant(parts, member, credential, connection, signal);
    return isRevoked ? undefined : `The provider has no way to revoke it from here. ${BY_HAND}`;
  } catch (error) {
    if (!force || !(error instanceof StrongroomError)) throw error;
    return `${error.message} ${BY_HAND}`;
  }
}
const BY_HAND = "End it in the provider's settings.";

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
      ...(found && isConnections(found.body) ? await deletionWrites(intake, org, found) : []),
    ]);
    return isWritten || undefined;
  });
}

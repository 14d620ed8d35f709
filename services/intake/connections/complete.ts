import type { Connection } from "../../shared/api/connections.ts";
import { type ConnectionComplete, ConnectionMade } from "../../shared/broker/connections.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { countWrite } from "../counts.ts";
import {
  type BrokerRecord,
  type CredentialRecord,
  credentialKey,
  materialKey,
  nextVersion,
  type StoredMaterial,
  withVersion,
} from "../credentials/records.ts";
import type { Intake } from "../dependencies.ts";
import { recorded } from "../receipts/recorded.ts";
import { retryConflicts } from "../retry-conflicts.ts";
import { withGrantLease } from "../tokens/lease.ts";
import { loadClientSecret } from "./client-secret.ts";
import { checkReplaceable, showConnection } from "./connections.ts";
import type { Connector } from "./connector.ts";
import { askBroker, type ConnectionParts } from "./parts.ts";
import { type ConnectionRecord, connectionKey, type FlowRecord, flowKey } from "./records.ts";
import { revokeGrant } from "./revoke.ts";

/**
 * Completes a member's own flow with the response that their browser brought. The flow is used up before its code is
 * sent anywhere, whatever comes of it. Throws StrongroomError.
 */
export async function completeConnection(
  parts: ConnectionParts,
  member: Connector,
  name: string,
  callback: string,
  signal: AbortSignal,
): Promise<{ connection: Connection; isNew: boolean }> {
  const { store } = parts.intake;
  const flow = await takeFlow(store, member, name);
  // Nobody refreshes what is about to be replaced: the version must be the next one also after the exchange.
  const { connection, isNew } = await withGrantLease(parts.intake, member.org, name, () =>
    exchangeAndStore(parts, member, name, flow, callback, signal),
  );
  return { connection: await showConnection(store, member.org, connection), isNew };
}

async function exchangeAndStore(
  parts: ConnectionParts,
  member: Connector,
  name: string,
  { envelope, provider, client, scopes, host, id: flowId }: FlowRecord,
  callback: string,
  signal: AbortSignal,
): Promise<{ connection: ConnectionRecord; isNew: boolean }> {
  const { intake } = parts;
  const { store } = intake;
  const { org, id, token, by } = member;
  await checkReplaceable(store, org, name);
  const secret = await loadClientSecret(store, org, client, provider);
  const version = await nextVersion(store, org, name);
  const about = { id, action: "connect", by, credential: name, version } as const;
  const made = await recorded(parts.receipts, org, { ...about, host, method: "POST", scopes }, (receipt) => {
    const call: ConnectionComplete = {
      ...{ id, token, org, receipt, connection: name, version, callback },
      ...{ flow: { id: flowId, envelope }, ...(secret && { secret }) },
    };
    return askBroker(parts, "connection-complete", call, ConnectionMade, signal);
  });
  const connection: ConnectionRecord = {
    ...{ name, provider, client, askedScopes: scopes, scopes: made.scopes, origin: made.policy.origin },
    connectedBy: { issuer: by.issuer, subject: by.subject },
    connectedAt: new Date(intake.now()).toISOString(),
  };
  try {
    return { connection, isNew: await storeMade(intake, org, version, connection, made) };
  } catch (error) {
    // Nobody would have it: better that it ends than that it stays open at the provider.
    const material = { envelope: made.envelope };
    const credential = { name, version, policy: made.policy, material };
    await revokeGrant(parts, member, credential, connection, signal).catch((failure: unknown) => {
      intake.log.error({ org, connection: name, err: failure }, "grant neither stored nor revoked");
    });
    throw error;
  }
}

async function takeFlow(
  store: Intake["store"],
  { org, digest }: Connector,
  name: string,
): Promise<FlowRecord> {
  const key = flowKey(org, name, digest);
  const found = await store.get<FlowRecord>(key);
  if (!found) {
    const detail =
      "You have not begun this connection, or it is over: a flow is for one use and ten minutes.";
    throw new StrongroomError("not_found", detail);
  }
  if (await store.write([{ ...key, remove: true, expect: found.revision }])) return found.body;
  throw new StrongroomError("conflict", "The flow is being completed by another request. Begin again.");
}

/** Stores credential and connection in one write. Throws `conflict` if the version is another one by now. */
async function storeMade(
  { store, now }: Intake,
  org: string,
  version: number,
  connection: ConnectionRecord,
  { policy, envelope }: ConnectionMade,
): Promise<boolean> {
  const { name } = connection;
  return retryConflicts(async () => {
    const [found, next] = await Promise.all([
      store.get<CredentialRecord>(credentialKey(org, name)),
      nextVersion(store, org, name),
    ]);
    if (next !== version) {
      throw new StrongroomError("conflict", "The credential was changed in between. Begin again.");
    }
    const at = new Date(now()).toISOString();
    const credential: BrokerRecord = {
      ...{ name, version, purpose: "broker", destination: policy, connection: true },
      versions: withVersion({ version, createdAt: at, sealedBy: "platform" }, found?.body.versions),
      disabled: found?.body.disabled ?? false,
      createdAt: found?.body.createdAt ?? at,
      updatedAt: at,
    };
    const stored: StoredMaterial = { version, material: { envelope } };
    const isWritten = await store.write([
      { ...credentialKey(org, name), body: credential, expect: found?.revision ?? 0 },
      { ...materialKey(org, name), body: stored },
      { ...connectionKey(org, name), body: connection },
      ...(found ? [] : [await countWrite(store, org, "credentials", 1)]),
    ]);
    return isWritten ? !found : undefined;
  });
}

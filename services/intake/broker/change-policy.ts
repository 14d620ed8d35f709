import { ChangedPolicy } from "../../shared/broker/change-policy.ts";
import { type BrokerPolicy, brokerPolicyHash } from "../../shared/broker/policy.ts";
import { canonicalJson } from "../../shared/canonical-json.ts";
import { StrongroomError } from "../../shared/errors.ts";
import type { Intent } from "../../shared/receipts/receipt.ts";
import { checkBrokerPolicy } from "../credentials/check-broker-policy.ts";
import { brokerCredential } from "../credentials/load.ts";
import {
  type BrokerRecord,
  credentialKey,
  materialKey,
  type StoredMaterial,
  withVersion,
} from "../credentials/records.ts";
import type { Intake } from "../dependencies.ts";
import { receiptBy, type UseMember } from "../http/caller.ts";
import { type Conditions, checkConditions } from "../http/conditions.ts";
import type { Receipts } from "../receipts/receipts.ts";
import { recorded } from "../receipts/recorded.ts";
import { isEnvelopeFor } from "../rewrap/check-envelope.ts";
import { unrotatedWrites } from "../rotations/records.ts";
import { withGrantLease } from "../tokens/lease.ts";

export interface ChangeParts {
  intake: Pick<Intake, "store" | "broker" | "now" | "log" | "destinationPorts">;
  receipts: Receipts;
}

/** What is changed, by a member of level admin. */
export interface Change {
  /** The request's id, and its receipt's. */
  id: string;
  name: string;
  conditions: Conditions;
  /** Where in the request the changed part of the policy stands, for errors. */
  at: string;
  change(policy: BrokerPolicy): BrokerPolicy;
}

/**
 * Changes a credential's policy without its value: the broker seals the value anew, for the next version and the changed
 * policy, if that lets it go nowhere else. The same policy changes nothing. Throws `not_found`, `precondition_failed`,
 * `invalid_destination`, `conflict`, `receipts_unavailable`, and what the broker refuses.
 */
export async function changePolicy(
  parts: ChangeParts,
  member: UseMember,
  change: Change,
): Promise<BrokerRecord> {
  const { record } = await brokerCredential(parts.intake.store, member.org, change.name);
  const work = () => changeNow(parts, member, change);
  // Its provider may replace the value that is sealed anew.
  const isReplaceable = record.destination.grant?.type === "refresh_token";
  return isReplaceable ? withGrantLease(parts.intake, member.org, change.name, work) : work();
}

async function changeNow(
  { intake, receipts }: ChangeParts,
  member: UseMember,
  { id, name, conditions, at, change }: Change,
): Promise<BrokerRecord> {
  const { store, broker, now } = intake;
  const { org, identity } = member;
  const { record, revision, material, materialRevision } = await brokerCredential(store, org, name);
  checkConditions(conditions, record.version);
  const { version, destination } = record;
  const policy = change(destination);
  checkBrokerPolicy(policy, intake.destinationPorts, at);
  if (canonicalJson(policy) === canonicalJson(destination)) return record;
  const unrotated = await unrotatedWrites(store, org, name, { keepsValue: true });
  const key = (await store.get<StoredMaterial>(materialKey(org, name)))?.body.key;
  const intent: Intent = {
    ...{ id, action: "change-rules", by: receiptBy(member), credential: name, version: version + 1 },
    host: new URL(policy.origin).host,
  };
  return recorded(receipts, org, intent, async () => {
    const credential = { name, version, policy: destination, material };
    const call = { id, token: identity.token.reveal(), org, credential, policy };
    const changed = await broker.ask("change-policy", call, ChangedPolicy);
    const context = {
      ...{ org, credential: name, version: String(version + 1), purpose: "broker" as const },
      policy: brokerPolicyHash(policy),
    };
    const envelope = Buffer.from(changed.envelope, "base64");
    if (changed.version !== version + 1 || !isEnvelopeFor(context, envelope)) {
      throw new Error("the broker has sealed something else than it was asked for");
    }
    const next = changedRecord(record, policy, new Date(now()).toISOString());
    const stored: StoredMaterial = {
      ...{ version: next.version, material: { envelope: changed.envelope } },
      ...(key !== undefined && { key }),
    };
    const isWritten = await store.write([
      { ...credentialKey(org, name), body: next, expect: revision },
      { ...materialKey(org, name), body: stored, expect: materialRevision },
      ...unrotated,
    ]);
    if (!isWritten) {
      throw new StrongroomError("conflict", "The credential was changed at the same time. Read it again.");
    }
    return next;
  });
}

function changedRecord(record: BrokerRecord, destination: BrokerPolicy, at: string): BrokerRecord {
  const version = record.version + 1;
  // Whoever sealed the value that was put: it is the same value.
  const sealedBy = record.versions[0]?.sealedBy ?? "platform";
  const versions = withVersion({ version, createdAt: at, sealedBy }, record.versions);
  return { ...record, version, destination, versions, updatedAt: at };
}

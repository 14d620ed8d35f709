import { brokerPolicyHash } from "../../shared/broker/policy.ts";
import type { TokenAnswer } from "../../shared/broker/tokens.ts";
import {
  type BrokerRecord,
  credentialKey,
  materialKey,
  type StoredMaterial,
  withVersion,
} from "../credentials/records.ts";
import type { Intake } from "../dependencies.ts";
import { retryConflicts } from "../retry-conflicts.ts";
import { isEnvelopeFor } from "../rewrap/check-envelope.ts";
import { StoreUnavailableError } from "../store/store.ts";
import { grantStateWrite } from "./grant-state.ts";

const MOST_TRIES = 5;

type Parts = Pick<Intake, "store" | "now">;
type Replaced = Extract<TokenAnswer, { state: "replaced" }>;

/**
 * Stores the new value that a provider has issued for a version of a credential. It does nothing if the credential has
 * another version by now, or none: then a member has put or deleted it, which counts more. Throws StoreUnavailableError;
 * the broker keeps the new value for some minutes.
 */
export async function saveReplacement(
  { store, now }: Parts,
  org: string,
  { name, version, destination }: BrokerRecord,
  { version: next, envelope }: Replaced,
): Promise<void> {
  const context = {
    ...{ org, credential: name, version: String(version + 1), purpose: "broker" as const },
    policy: brokerPolicyHash(destination),
  };
  if (next !== version + 1 || !isEnvelopeFor(context, Buffer.from(envelope, "base64"))) {
    throw new Error("the broker has sealed a new value for something else");
  }
  await retryUnavailable(() =>
    retryConflicts(async () => {
      const found = await store.get<BrokerRecord>(credentialKey(org, name));
      if (found?.body.version !== version) return "superseded";
      const at = new Date(now()).toISOString();
      const record: BrokerRecord = {
        ...found.body,
        version: next,
        versions: withVersion(
          { version: next, createdAt: at, sealedBy: "broker" },
          // One line for all replacements, or they would crowd out what members have put.
          found.body.versions.filter(({ sealedBy }, index) => index > 0 || sealedBy !== "broker"),
        ),
        updatedAt: at,
      };
      const stored: StoredMaterial = { version: next, material: { envelope } };
      const isWritten = await store.write([
        { ...credentialKey(org, name), body: record, expect: found.revision },
        { ...materialKey(org, name), body: stored },
        grantStateWrite(org, name, { version: next, refreshedAt: at }),
      ]);
      return isWritten ? "stored" : undefined;
    }),
  );
}

/** The version that a member has put, of which the current one is a replacement by the provider. */
export const putVersion = ({ version, versions }: Pick<BrokerRecord, "version" | "versions">): number =>
  versions.find(({ sealedBy }) => sealedBy !== "broker")?.version ?? version;

/** Marks a version of a credential as refused by its provider for ever. Returns when. */
export async function markBroken(
  { store, now }: Parts,
  org: string,
  { name, version }: BrokerRecord,
): Promise<string> {
  const at = new Date(now()).toISOString();
  await store.write([
    grantStateWrite(org, name, { version, broken: { at, reason: "the provider answered invalid_grant" } }),
  ]);
  return at;
}

async function retryUnavailable<T>(attempt: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      if (tries === MOST_TRIES || !(error instanceof StoreUnavailableError)) throw error;
    }
  }
}

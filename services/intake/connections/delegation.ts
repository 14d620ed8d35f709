import type { PutCredential } from "../../shared/api/credentials.ts";
import { delegatorOf, providerOf } from "../../shared/broker/providers.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { type BrokerRecord, nextVersion } from "../credentials/records.ts";
import { recorded } from "../receipts/recorded.ts";
import type { Connector } from "./connector.ts";
import type { ConnectionParts } from "./parts.ts";

/**
 * Stores a key, unless its provider delegates access instead. With a reason it is stored all the same, and the reason
 * stands in the organization's receipts. Throws `delegation_available`, and what `put` throws.
 */
export async function storeKey<T>(
  parts: Pick<ConnectionParts, "intake" | "receipts">,
  { org, id, by }: Connector,
  name: string,
  body: PutCredential,
  put: () => Promise<T>,
): Promise<T> {
  const provider = delegatorOf(body.destination.origin);
  if (!provider || isClientSecret(body)) return put();
  const { reason } = body;
  if (reason === undefined) throw delegationAvailable(providerOf(provider).title);
  const version = await nextVersion(parts.intake.store, org, name);
  const { host } = new URL(body.destination.origin);
  const intent = { id, action: "store-key", by, credential: name, version, host, reason } as const;
  return recorded(parts.receipts, org, intent, put);
}

/** A credential of the broker without rules and grant is for nothing but a connection's client. */
const isClientSecret = (body: PutCredential): boolean =>
  body.purpose === "broker" && body.destination.rules.length === 0 && !body.destination.grant;

/** Refuses rules for what was stored as a client's secret, without a reason. Throws `delegation_available`. */
export function checkRulesForKey({ destination, connection }: BrokerRecord): void {
  const provider = delegatorOf(destination.origin);
  if (!provider || connection || destination.rules.length > 0 || destination.grant) return;
  throw delegationAvailable(providerOf(provider).title);
}

const delegationAvailable = (title: string) =>
  new StrongroomError(
    "delegation_available",
    `${title} delegates access by OAuth, which can be narrowed, watched and revoked: POST /v1/connections. ` +
      "To store a key all the same, put it with a `reason`, which stands in the organization's receipts.",
  );

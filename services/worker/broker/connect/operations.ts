import { hash } from "node:crypto";
import {
  ConnectionBegin,
  ConnectionComplete,
  ConnectionRevoke,
  type ConnectionRevoked,
} from "../../../shared/broker/connections.ts";
import { revocationOf } from "../../../shared/broker/revocation.ts";
import { isAtLeast } from "../../../shared/front/levels.ts";
import { checkReceipt } from "../check-receipt.ts";
import { type Operation, operation } from "../operations.ts";
import { UseFailure } from "../use-failure.ts";
import type { VerifiedCaller } from "../verified-caller.ts";
import { beginConnection, type ConnectParts } from "./begin.ts";
import { checkedFlow, completeConnection } from "./complete.ts";
import { revokeConnection } from "./revoke.ts";

const BEGIN_MS = 15_000;
/** A code exchange, keys of ID tokens, perhaps a revocation. */
const COMPLETE_MS = 40_000;
const REVOKE_MS = 20_000;

/** The operations by which an admin connects an organization to a provider. */
export const connectOperations = (parts: ConnectParts): Operation[] => [
  operation("connection-begin", ConnectionBegin, async (call, { caller, signal }) => {
    requireAdmin(caller);
    const within = AbortSignal.any([signal, AbortSignal.timeout(BEGIN_MS)]);
    return beginConnection(parts, call, memberOf(caller), within);
  }),
  operation("connection-complete", ConnectionComplete, async (call, { caller, signal, sends }) => {
    requireAdmin(caller);
    const checked = await checkedFlow(parts, call, memberOf(caller));
    const { id, connection: credential, version } = call;
    const { host, flow } = checked;
    checkReceipt(call.receipt, {
      ...{ id, action: "connect", by: byOf(caller), credential, version, host, method: "POST" },
      scopes: flow.scopes,
    });
    sends();
    // Not aborted if the intake goes: then what was granted is revoked instead of left at the provider.
    return completeConnection(parts, call, checked, {
      within: AbortSignal.timeout(COMPLETE_MS),
      gone: signal,
    });
  }),
  operation(
    "connection-revoke",
    ConnectionRevoke,
    async (call, { caller, sends }): Promise<ConnectionRevoked> => {
      requireAdmin(caller);
      const { id, credential, provider } = call;
      const revocation = revocationOf(credential.policy, provider);
      if (!revocation) return { outcome: "unsupported" };
      const { name, version } = credential;
      checkReceipt(call.receipt, {
        ...{ id, action: "revoke", by: byOf(caller), credential: name, version },
        ...{
          host: new URL(revocation.endpoint).host,
          method: revocation.type === "github" ? "DELETE" : "POST",
        },
      });
      sends();
      return revokeConnection(parts, call, AbortSignal.timeout(REVOKE_MS));
    },
  ),
];

function requireAdmin({ level }: VerifiedCaller): void {
  if (!isAtLeast(level, "admin")) throw new UseFailure("forbidden", "Only an admin may connect a provider.");
}

/** A digest of who it is, by which a flow is bound to its member. */
const memberOf = ({ issuer, subject }: VerifiedCaller): string =>
  hash("sha256", `${issuer}\n${subject}`, "base64url");

const byOf = ({ issuer, subject, level }: VerifiedCaller) => ({ issuer, subject, level });

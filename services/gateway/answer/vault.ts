import { unitsOfAnswer } from "../../shared/front/cost.ts";
import { chargeFailed } from "../charges.ts";
import type { Dependencies } from "../dependencies.ts";
import { forward } from "../upstream/forward.ts";
import { Relay } from "../upstream/relay.ts";
import { type Handler, vaultTokenOf } from "./handler.ts";

const CONTENT_TYPES = { json: "application/json", "merge-patch": "application/merge-patch+json" };

/** Forwards the request to the organization's Vault under the caller's own identity. */
export const answerByVault =
  ({ limits, logins, machines }: Dependencies): Handler =>
  async ({ request, reply, passage, body }) => {
    const { trace, org, upstream, machine } = passage;
    const { path, verb } = passage.target;
    trace.sentAt = performance.now();
    const relay = new Relay(reply.raw, trace, { begins: () => reply.hijack() });
    try {
      const token = await vaultTokenOf(logins, passage);
      const contentType = body && CONTENT_TYPES[verb.body ?? "json"];
      const sent = { method: request.method, path, token, body, contentType, requestId: trace.requestId };
      await forward(upstream, sent, relay).finally(() => limits.chargeOrg(org.id, unitsOfAnswer(relay.size)));
    } catch (error) {
      if (!reply.sent) throw error;
      trace.error = error; // Vault's answer was cut off, and so the caller's was too
      return reply;
    }
    if (machine && !machines.isKnown(machine)) {
      const { statusCode } = reply.raw;
      if (statusCode === 403) chargeFailed(limits, { raw: passage.raw, address: passage.address, body });
      else machines.note(machine, statusCode < 300);
    }
    return reply;
  };

/** Forwards a status request to the organization's Vault without a token. */
export const answerByVaultOpenly: Handler = async ({ request, reply, passage }) => {
  const { trace, upstream } = passage;
  const [path = ""] = passage.target.path.split("?", 1);
  trace.sentAt = performance.now();
  try {
    const relay = new Relay(reply.raw, trace, { begins: () => reply.hijack(), anyStatus: true });
    await forward(upstream, { method: request.method, path, requestId: trace.requestId }, relay);
  } catch (error) {
    if (!reply.sent) throw error;
    trace.error = error;
  }
  return reply;
};

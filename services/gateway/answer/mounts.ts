import { Type } from "typebox";
import { Value } from "typebox/value";
import { StrongroomError } from "../../shared/errors.ts";
import type { Dependencies } from "../dependencies.ts";
import { exchange } from "../upstream/exchange.ts";
import { type Handler, vaultTokenOf } from "./handler.ts";
import { sendJson } from "./send.ts";

/** The mounts whose paths the gateway serves. */
const SERVED = ["secret/", "transit/"];

const Visible = Type.Object({
  data: Type.Object({ secret: Type.Record(Type.String(), Type.Record(Type.String(), Type.Unknown())) }),
});

/**
 * `sys/mounts`: the served mounts in which the caller's own policies allow something, as the Vault lists them at a path
 * that needs no policy. Throws `forbidden`, and as {@link exchange} does.
 */
export const answerMounts =
  ({ logins }: Dependencies): Handler =>
  async ({ reply, passage }) => {
    const {
      upstream,
      trace: { requestId: id },
    } = passage;
    const token = await vaultTokenOf(logins, passage);
    const { status, text } = await exchange(upstream, "/v1/sys/internal/ui/mounts", undefined, id, token);
    if (status !== 200) throw new StrongroomError("forbidden", "permission denied", { cause: status });
    const visible = Object.entries(parseVisible(text));
    const mounts = Object.fromEntries(visible.filter(([name]) => SERVED.includes(name)));
    const envelope = { lease_id: "", renewable: false, lease_duration: 0, wrap_info: null, warnings: null };
    return sendJson(reply, 200, { ...mounts, request_id: id, ...envelope, data: mounts, auth: null });
  };

function parseVisible(text: string): Record<string, unknown> {
  try {
    return Value.Parse(Visible, JSON.parse(text)).data.secret;
  } catch (cause) {
    const detail = "The organization's Vault returned an unusable response. Try again in a moment.";
    throw new StrongroomError("org_vault_unavailable", detail, { cause });
  }
}

import { isTokenAlive, revokeSelf } from "../../../shared/vault/tokens.ts";
import { orgClient, orgRecord, type Platform } from "../../dependencies.ts";
import type { Step } from "../../jobs/workflow.ts";
import { forgetInitResult, readInitResult } from "../root-token.ts";

/** Revokes the root token, proves it by a lookup that is refused, and deletes the kept result. */
export const revokeRoot = (platform: Platform): Step => ({
  name: "revoke-root",
  async do({ org }) {
    const kept = await readInitResult(platform, org);
    if (!kept) return;
    const root = orgClient(platform, await orgRecord(platform, org), () => kept.rootToken);
    if (await isTokenAlive(root)) await revokeSelf(root);
    await forgetInitResult(platform, org);
  },
});

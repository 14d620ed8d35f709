import { orgParameters } from "../../../shared/parameters/store.ts";
import { endUnsealTokensOf, mintUnsealToken, revokeAccessor } from "../../../shared/vault/tokens.ts";
import { orgRecord, type Platform } from "../../dependencies.ts";
import type { Step } from "../../jobs/workflow.ts";
import type { OrgRecord } from "../../registry/records.ts";

/** Puts the token with which the organization's Vault unseals itself in the parameter store. */
export const issueUnsealToken = (platform: Platform): Step => ({
  name: "issue-unseal-token",
  async do({ org }) {
    const { unsealTokenAccessor, pendingTokenAccessor } = await orgRecord(platform, org);
    if (pendingTokenAccessor || !unsealTokenAccessor) {
      // No instance uses one yet, and a token minted right before a crash may be unrecorded.
      await endUnsealTokensOf(platform.vault, org);
      await replaceUnsealToken(platform, org);
    }
    await revokeRetiredTokens(platform, org);
  },
  undo: ({ org }) => endUnsealTokens(platform, org),
});

/**
 * Mints an unseal token, stores it, and retires the previous one: revoke that only once the instance has unsealed
 * itself with the new one. A token is recorded before it is stored. (Nobody has a token minted right before a crash
 * that prevented its recording; it expires after its period, or is revoked with the organization.)
 */
export async function replaceUnsealToken(platform: Platform, org: string): Promise<OrgRecord> {
  const { vault, registry, parameters, parameterPrefix, failpoint } = platform;
  const { token, accessor } = await mintUnsealToken(vault, org);
  await failpoint("issue-unseal-token:minted");
  await registry.orgs.update(org, ({ pendingTokenAccessor: interrupted, ...record }) => ({
    ...record,
    pendingTokenAccessor: accessor,
    retiredTokenAccessors: [...record.retiredTokenAccessors, ...(interrupted ? [interrupted] : [])],
  }));
  await failpoint("issue-unseal-token:recorded");
  await parameters.put(orgParameters(parameterPrefix, org).unsealToken, token);
  await failpoint("issue-unseal-token:stored");
  return registry.orgs.update(org, ({ pendingTokenAccessor: _, unsealTokenAccessor: old, ...record }) => ({
    ...record,
    unsealTokenAccessor: accessor,
    retiredTokenAccessors: [...record.retiredTokenAccessors, ...(old ? [old] : [])],
    restart: record.restart + (old ? 1 : 0),
  }));
}

/** Revokes the replaced tokens. */
export async function revokeRetiredTokens({ vault, registry }: Platform, org: string): Promise<void> {
  const { retiredTokenAccessors: retired } = (await registry.orgs.read(org))?.value ?? {};
  if (!retired || retired.length === 0) return;
  for (const accessor of retired) await revokeAccessor(vault, accessor);
  await registry.orgs.update(org, (record) => ({
    ...record,
    retiredTokenAccessors: record.retiredTokenAccessors.filter((each) => !retired.includes(each)),
  }));
}

/** Deletes the parameter and revokes every unseal token of the organization, recorded or not. */
export async function endUnsealTokens(platform: Platform, org: string): Promise<void> {
  const { vault, registry, parameters, parameterPrefix } = platform;
  await parameters.delete(orgParameters(parameterPrefix, org).unsealToken);
  await endUnsealTokensOf(vault, org);
  const { unsealTokenAccessor, pendingTokenAccessor, retiredTokenAccessors } = await orgRecord(platform, org);
  for (const accessor of [unsealTokenAccessor, pendingTokenAccessor, ...retiredTokenAccessors]) {
    if (accessor) await revokeAccessor(vault, accessor);
  }
  await registry.orgs.update(
    org,
    ({ unsealTokenAccessor: _, pendingTokenAccessor: __, ...record }): OrgRecord => ({
      ...record,
      retiredTokenAccessors: [],
    }),
  );
}

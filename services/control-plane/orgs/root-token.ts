import { StrongroomError } from "../../shared/errors.ts";
import { Secret } from "../../shared/secret.ts";
import type { VaultClient } from "../../shared/vault/client.ts";
import { kv1 } from "../../shared/vault/kv.ts";
import { orgClient, type Platform } from "../dependencies.ts";
import type { OrgRecord } from "../registry/records.ts";

/** The result of `sys/init`, which Vault returns only once. */
export interface InitResult {
  rootToken: Secret;
  /** Encrypted, as in the record. */
  recoveryKeys: string[];
}

/** The result of an organization's initialization, kept during onboarding; undefined if none is kept. */
export async function readInitResult({ vault }: Platform, org: string): Promise<InitResult | undefined> {
  const kept = (await rootTokens(vault).read(org)) as { token: string; recovery_keys: string[] } | undefined;
  return kept && { rootToken: new Secret(kept.token), recoveryKeys: kept.recovery_keys };
}

export async function keepInitResult({ vault }: Platform, org: string, result: InitResult): Promise<void> {
  await rootTokens(vault).write(org, {
    token: result.rootToken.reveal(),
    recovery_keys: result.recoveryKeys,
  });
}

export async function forgetInitResult({ vault }: Platform, org: string): Promise<void> {
  await rootTokens(vault).delete(org);
}

/** A root client of the organization's Vault. */
export async function rootClient(platform: Platform, record: OrgRecord): Promise<VaultClient> {
  const kept = await readInitResult(platform, record.id);
  if (!kept) throw new StrongroomError("step_failed", "The root token is already deleted.");
  return orgClient(platform, record, () => kept.rootToken);
}

/** KV version 1: a deleted value leaves no old version. */
const rootTokens = (vault: Platform["vault"]) => kv1(vault, "root-tokens");

import { isDeepStrictEqual } from "node:util";
import type { InstanceSpec, InstanceStatus } from "../../shared/instance-spec.ts";
import { VaultUnreachableError } from "../../shared/vault/client.ts";
import { clientsOf } from "../../shared/vault/client-counts.ts";
import { sealStatus } from "../../shared/vault/init.ts";
import { compareOrgVault } from "../../shared/vault/org-vault.ts";
import { lookupAccessor, renewAccessor } from "../../shared/vault/tokens.ts";
import { repairCommand } from "../api/org-view.ts";
import { instanceSpec, orgClient, orgEndpoint, orgVaultSettings, type Platform } from "../dependencies.ts";
import { loginToObserve } from "../orgs/observe.ts";
import { replaceCertificate, revokeRetiredCertificates } from "../orgs/steps/certificate.ts";
import { isAddressTaken, moveTo, restarted, settingsDigest } from "../orgs/steps/start-instance.ts";
import { replaceUnsealToken, revokeRetiredTokens } from "../orgs/steps/unseal-token.ts";
import type { OrgRecord } from "../registry/records.ts";
import { isNearItsEnd, servedCertificate } from "./served-certificate.ts";

const LOOK_TIMEOUT_MS = 2_000;
const RENEW_CERTIFICATE_AFTER = 2 / 3;
const RENEW_TOKEN_BELOW = 3 / 4;
const REPLACE_AT_START_BELOW = 1 / 2;
/** Until its first login, and while it has drift, a Vault is checked at least this often. */
const WAITED_FOR_INTERVAL_MS = 60_000;

/** Reconciles single ready organizations. */
export interface OrgReconciler {
  /**
   * Repairs everything that needs no approval, and puts the rest on the organization's record. `isStart`: no instance
   * may have been started yet since the platform was.
   */
  reconcile(record: OrgRecord, isStart: boolean): Promise<void>;
  /** Puts an organization's problem on its record; undefined clears it. */
  report(record: OrgRecord, problem: string | undefined): Promise<void>;
}

export function createOrgReconciler(platform: Platform, driftIntervalMs: number): OrgReconciler {
  const { vault, registry, runtime, issuers, now, log } = platform;
  const published = new Map<string, InstanceSpec>();
  const compared = new Map<string, { at: number; issuerKeys: string | undefined }>();

  async function reconcile(found: OrgRecord, isStart: boolean): Promise<void> {
    let record = found;
    try {
      record = await reconcileIssuer(record);
      record = await reconcileUnsealToken(record, isStart);
      record = await reconcileCertificate(record);
      const status = await runtime.observe(record.id);
      record = await reconcileAddress(record, status);
      // Before the first publishing there is no diagnosis: the runtime's report may be outdated.
      const isFirst = !published.has(record.id);
      await reconcileSpec(record);
      if (isFirst) return;
      const problem = await diagnose(record, status);
      await report(record, problem);
      if (problem || !isInForce(record, status)) return;
      await revokeRetiredTokens(platform, record.id);
      await revokeRetiredCertificates(platform, record.id);
      await compare(record);
    } catch (error) {
      await report(record, error instanceof Error ? error.message : String(error));
      throw error;
    }
  }

  /** Adopts the issuer's current settings. The issuer itself may not change. */
  async function reconcileIssuer(record: OrgRecord): Promise<OrgRecord> {
    const issuer = issuers.find(({ issuer }) => issuer === record.issuer.issuer);
    if (!issuer || isDeepStrictEqual(issuer, record.issuer)) return record;
    return registry.orgs.update(record.id, (current) => ({ ...current, issuer }));
  }

  async function reconcileUnsealToken(record: OrgRecord, isStart: boolean): Promise<OrgRecord> {
    const { id, unsealTokenAccessor: accessor, pendingTokenAccessor } = record;
    if (accessor && !pendingTokenAccessor && (await isTokenGood(accessor, isStart))) return record;
    log.warn({ org: id }, "replacing the unseal token");
    return replaceUnsealToken(platform, id);
  }

  /** Whether a token is valid and will stay so; renews it if due. */
  async function isTokenGood(accessor: string, isStart: boolean): Promise<boolean> {
    const token = await lookupAccessor(vault, accessor);
    if (!token || (isStart && token.ttl < token.period * REPLACE_AT_START_BELOW)) return false;
    if (token.ttl >= token.period * RENEW_TOKEN_BELOW) return true;
    return (await renewAccessor(vault, accessor)) !== undefined;
  }

  async function reconcileCertificate(record: OrgRecord): Promise<OrgRecord> {
    const { id, certificateSerial, certificateNotBefore, certificateNotAfter, pendingCertificateSerial } =
      record;
    const begin = Date.parse(certificateNotBefore ?? "");
    const renewAt = begin + (Date.parse(certificateNotAfter ?? "") - begin) * RENEW_CERTIFICATE_AFTER;
    if (certificateSerial && !pendingCertificateSerial && now().getTime() < renewAt) return record;
    return replaceCertificate(platform, id);
  }

  async function reconcileAddress(record: OrgRecord, status: InstanceStatus | undefined): Promise<OrgRecord> {
    if (!status || status.restart !== record.restart || !isAddressTaken(status)) return record;
    log.warn(
      { org: record.id, listen: record.listen },
      "another process uses the organization's address; moving it to a new one",
    );
    return moveTo(platform, record.id, await runtime.allocate(record.id));
  }

  /** Publishes the desired instance if it differs from the last published one. */
  async function reconcileSpec(found: OrgRecord): Promise<void> {
    let record = found;
    if (settingsDigest(platform, record) !== record.settingsDigest) {
      record = await registry.orgs.update(record.id, (current) => restarted(platform, current));
    }
    const spec = instanceSpec(platform, record);
    if (isDeepStrictEqual(spec, published.get(record.id))) return;
    await runtime.publish(spec);
    published.set(record.id, spec);
  }

  /** The instance's problem, with Vault's own error if there is one. */
  async function diagnose(
    record: OrgRecord,
    status: InstanceStatus | undefined,
  ): Promise<string | undefined> {
    if (status?.state !== "running") await runtime.recover(instanceSpec(platform, record));
    if (!status) return "Its instance has no status. Is the agent running?";
    if (status.state !== "running") {
      return `Its Vault is not running (${status.state})${status.lastError ? `: ${status.lastError}` : ""}`;
    }
    try {
      const seal = await sealStatus(orgClient(platform, record, undefined, LOOK_TIMEOUT_MS));
      if (seal.sealed) return `Its Vault is sealed${status.lastError ? `: ${status.lastError}` : ""}`;
      if (record.clusterId && seal.clusterId !== record.clusterId) {
        return `Its Vault is not the one that was initialized for it (cluster ${seal.clusterId}, not ${record.clusterId})`;
      }
      return await certificateProblem(record);
    } catch (error) {
      if (error instanceof VaultUnreachableError) return `Its Vault does not answer (${error.code})`;
      throw error;
    }
  }

  /** A Vault may still serve an old certificate only after its replacement was issued. */
  async function certificateProblem(record: OrgRecord): Promise<string | undefined> {
    if (record.retiredCertificateSerials.length === 0) return undefined;
    const served = await servedCertificate(orgEndpoint(platform, record), LOOK_TIMEOUT_MS);
    if (!isNearItsEnd(served, now())) return undefined;
    return `Its Vault has not loaded its new certificate, and the one that it serves expires at ${served.notAfter.toISOString()}`;
  }

  const isInForce = (record: OrgRecord, status: InstanceStatus | undefined) =>
    status?.restart === record.restart && status.reload === record.reload;

  /** Records drift, whose repair needs an operator's approval, and the first login of a tenant. */
  async function compare(record: OrgRecord): Promise<void> {
    const at = now().getTime();
    const isSettled = record.firstLoginAt !== undefined && record.drift === undefined;
    const interval = isSettled ? driftIntervalMs : Math.min(driftIntervalMs, WAITED_FOR_INTERVAL_MS);
    const last = compared.get(record.id);
    const issuerKeys = await currentKeys(record);
    // New issuer keys are checked at once: the Vault refuses tokens signed by them until it has them.
    const isUrgent = issuerKeys !== undefined && issuerKeys !== last?.issuerKeys;
    if (last && !isUrgent && at - last.at < interval) return;
    compared.set(record.id, { at, issuerKeys: issuerKeys ?? last?.issuerKeys });
    let differences: string[];
    let isUsed: boolean;
    try {
      const client = await loginToObserve(platform, record);
      differences = await compareOrgVault(client, await orgVaultSettings(platform, record), { sudo: false });
      isUsed = record.firstLoginAt !== undefined || (await clientsOf(client, "jwt")) > 0;
    } catch (err) {
      log.warn({ org: record.id, err }, "cannot check the organization's Vault for drift");
      return;
    }
    const isFirst = isUsed && record.firstLoginAt === undefined;
    const isChanged = !isDeepStrictEqual(differences, record.drift ?? []);
    if (!isFirst && !isChanged) return;
    if (isChanged && differences.length > 0)
      log.warn(
        { org: record.id, differences, repair: repairCommand(record.id, differences) },
        "the organization's Vault has drift",
      );
    await registry.orgs.update(record.id, ({ drift: _, ...current }) => ({
      ...current,
      ...(differences.length > 0 && { drift: differences }),
      ...(isFirst && { firstLoginAt: now().toISOString() }),
    }));
  }

  /** The issuer's current keys as one string; undefined if it does not answer. */
  async function currentKeys({ issuer }: OrgRecord): Promise<string | undefined> {
    return platform.issuerKeys(issuer).then(
      (keys) => keys.join("\n"),
      () => undefined,
    );
  }

  async function report({ id, lastError }: OrgRecord, problem: string | undefined): Promise<void> {
    if (problem === lastError?.message) return;
    if (problem) log.warn({ org: id, problem }, "organization unhealthy");
    await registry.orgs.update(id, ({ lastError: _, ...current }) => ({
      ...current,
      ...(problem && { lastError: { at: now().toISOString(), message: problem } }),
    }));
  }

  return { reconcile, report };
}

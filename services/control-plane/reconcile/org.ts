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
/** While its first login is waited for, or something is to be mended, a Vault is looked into at least this often. */
const WAITED_FOR_INTERVAL_MS = 60_000;

/** Keeps single organizations that are ready in order. */
export interface OrgReconciler {
  /**
   * Repairs what can be repaired without an approval, and puts the rest on the organization's record.
   * `isStart`: no instance may have been started yet since the platform was.
   */
  reconcile(record: OrgRecord, isStart: boolean): Promise<void>;
  /** Puts what is wrong with an organization on its record; undefined: nothing is. */
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
      // Before the first publishing nothing can be told: what the runtime reports may be from another time.
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

  /** An issuer's settings may have changed since the organization was made; which issuer it is may not. */
  async function reconcileIssuer(record: OrgRecord): Promise<OrgRecord> {
    const issuer = issuers.find(({ issuer }) => issuer === record.issuer.issuer);
    if (!issuer || isDeepStrictEqual(issuer, record.issuer)) return record;
    return registry.orgs.update(record.id, (current) => ({ ...current, issuer }));
  }

  async function reconcileUnsealToken(record: OrgRecord, isStart: boolean): Promise<OrgRecord> {
    const { id, unsealTokenAccessor: accessor, pendingTokenAccessor } = record;
    if (accessor && !pendingTokenAccessor && (await isTokenGood(accessor, isStart))) return record;
    log.warn({ org: id }, "the unseal token is replaced");
    return replaceUnsealToken(platform, id);
  }

  /** Whether a token is alive and will stay so; renews it where it is time to. */
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
      "its address is taken by another process; it gets a new one",
    );
    return moveTo(platform, record.id, await runtime.allocate(record.id));
  }

  /** Publishes what should run, where that is something else than was published last. */
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

  /** What is wrong with the instance, in Vault's own words where it gave any. */
  async function diagnose(
    record: OrgRecord,
    status: InstanceStatus | undefined,
  ): Promise<string | undefined> {
    if (status?.state !== "running") await runtime.recover(instanceSpec(platform, record));
    if (!status) return "Nothing is reported of its instance. Is the agent running?";
    if (status.state !== "running") {
      return `Its Vault does not run (${status.state})${status.lastError ? `: ${status.lastError}` : ""}`;
    }
    try {
      const seal = await sealStatus(orgClient(platform, record, undefined, LOOK_TIMEOUT_MS));
      if (seal.sealed) return `Its Vault is sealed${status.lastError ? `: ${status.lastError}` : ""}`;
      if (record.clusterId && seal.clusterId !== record.clusterId) {
        return `Its Vault is another one than was initialized for it (cluster ${seal.clusterId})`;
      }
      return await certificateProblem(record);
    } catch (error) {
      if (error instanceof VaultUnreachableError) return `Its Vault does not answer (${error.code})`;
      throw error;
    }
  }

  /** Only one that was replaced may still be shown. */
  async function certificateProblem(record: OrgRecord): Promise<string | undefined> {
    if (record.retiredCertificateSerials.length === 0) return undefined;
    const served = await servedCertificate(orgEndpoint(platform, record), LOOK_TIMEOUT_MS);
    if (!isNearItsEnd(served, now())) return undefined;
    return `Its Vault has not taken the certificate that was issued for it, and its own ends at ${served.notAfter.toISOString()}`;
  }

  const isInForce = (record: OrgRecord, status: InstanceStatus | undefined) =>
    status?.restart === record.restart && status.reload === record.reload;

  /** Repairing takes an approval; here the differences are only named. Also notes the first tenant's login. */
  async function compare(record: OrgRecord): Promise<void> {
    const at = now().getTime();
    const isSettled = record.firstLoginAt !== undefined && record.drift === undefined;
    const interval = isSettled ? driftIntervalMs : Math.min(driftIntervalMs, WAITED_FOR_INTERVAL_MS);
    const last = compared.get(record.id);
    const issuerKeys = await currentKeys(record);
    // New keys are not waited with: tokens signed by one are refused until its Vault has it.
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
      log.warn({ org: record.id, err }, "its Vault could not be compared with what it should be");
      return;
    }
    const isFirst = isUsed && record.firstLoginAt === undefined;
    const isChanged = !isDeepStrictEqual(differences, record.drift ?? []);
    if (!isFirst && !isChanged) return;
    if (isChanged && differences.length > 0)
      log.warn(
        { org: record.id, differences, repair: repairCommand(record.id, differences) },
        "its Vault is not as it should be",
      );
    await registry.orgs.update(record.id, ({ drift: _, ...current }) => ({
      ...current,
      ...(differences.length > 0 && { drift: differences }),
      ...(isFirst && { firstLoginAt: now().toISOString() }),
    }));
  }

  /** The keys that the issuer shows now, as one text; undefined where it does not answer. */
  async function currentKeys({ issuer }: OrgRecord): Promise<string | undefined> {
    return platform.issuerKeys(issuer).then(
      (keys) => keys.join("\n"),
      () => undefined,
    );
  }

  async function report({ id, lastError }: OrgRecord, problem: string | undefined): Promise<void> {
    if (problem === lastError?.message) return;
    if (problem) log.warn({ org: id, problem }, "an organization is not well");
    await registry.orgs.update(id, ({ lastError: _, ...current }) => ({
      ...current,
      ...(problem && { lastError: { at: now().toISOString(), message: problem } }),
    }));
  }

  return { reconcile, report };
}

import { orgParameters } from "../../../shared/parameters/store.ts";
import { Secret } from "../../../shared/secret.ts";
import {
  newServerKey,
  orgCertificateSerials,
  revokeCertificate,
  signOrgCertificate,
} from "../../../shared/vault/pki.ts";
import { orgRecord, type Platform } from "../../dependencies.ts";
import type { Step } from "../../jobs/workflow.ts";
import type { OrgRecord } from "../../registry/records.ts";

/** Puts the organization's server certificate, by which its Vault proves its identity, in the parameter store. */
export const issueCertificate = (platform: Platform): Step => ({
  name: "issue-certificate",
  async do({ org }) {
    const { certificateSerial, pendingCertificateSerial } = await orgRecord(platform, org);
    if (pendingCertificateSerial || !certificateSerial) await replaceCertificate(platform, org);
    await revokeRetiredCertificates(platform, org);
  },
  undo: ({ org }) => endCertificates(platform, org),
});

/**
 * Has a new certificate signed and stored, and retires the previous one: revoke that only once the instance has
 * loaded the new one. All certificates are for one key, which lasts for the Vault's life. It is created here if
 * there is none yet, and leaves this process only for the parameter store: a renewal reuses the certificate signing
 * request.
 */
export async function replaceCertificate(platform: Platform, org: string): Promise<OrgRecord> {
  const { vault, registry, parameters, parameterPrefix, certificateSeconds, failpoint } = platform;
  await retireLostCertificates(platform, org);
  await registry.orgs.update(org, (record) => ({ ...record, certificateIssuing: true }));
  const kept = (await orgRecord(platform, org)).serverKey;
  const { serverKey, key } = kept ? { serverKey: kept } : newServerKey();
  const { certificate, serial, notBefore, notAfter } = await signOrgCertificate(
    vault,
    org,
    certificateSeconds,
    serverKey.request,
  );
  await failpoint("issue-certificate:issued");
  await registry.orgs.update(
    org,
    ({ pendingCertificateSerial: interrupted, certificateIssuing: _, ...record }) => ({
      ...record,
      pendingCertificateSerial: serial,
      retiredCertificateSerials: [...record.retiredCertificateSerials, ...(interrupted ? [interrupted] : [])],
    }),
  );
  await failpoint("issue-certificate:recorded");
  const names = orgParameters(parameterPrefix, org);
  if (key) await parameters.put(names.key, key);
  await parameters.put(names.certificate, new Secret(certificate));
  await failpoint("issue-certificate:stored");
  return registry.orgs.update(org, ({ pendingCertificateSerial: _, certificateSerial: old, ...record }) => ({
    ...record,
    serverKey,
    certificateSerial: serial,
    certificateNotBefore: notBefore.toISOString(),
    certificateNotAfter: notAfter.toISOString(),
    retiredCertificateSerials: [...record.retiredCertificateSerials, ...(old ? [old] : [])],
    reload: record.reload + (old ? 1 : 0),
  }));
}

/**
 * Retires certificates that were issued right before a crash and not recorded, if there may be any.
 */
async function retireLostCertificates(platform: Platform, org: string): Promise<void> {
  const { vault, registry } = platform;
  const record = await orgRecord(platform, org);
  if (!record.certificateIssuing) return;
  const known = [
    record.certificateSerial,
    record.pendingCertificateSerial,
    ...record.retiredCertificateSerials,
  ];
  const lost = (await orgCertificateSerials(vault, org)).filter((serial) => !known.includes(serial));
  await registry.orgs.update(org, ({ certificateIssuing: _, ...current }) => ({
    ...current,
    retiredCertificateSerials: [...current.retiredCertificateSerials, ...lost],
  }));
}

/** Revokes the replaced certificates. */
export async function revokeRetiredCertificates({ vault, registry }: Platform, org: string): Promise<void> {
  const { retiredCertificateSerials: retired } = (await registry.orgs.read(org))?.value ?? {};
  if (!retired || retired.length === 0) return;
  for (const serial of retired) await revokeCertificate(vault, serial);
  await registry.orgs.update(org, (record) => ({
    ...record,
    retiredCertificateSerials: record.retiredCertificateSerials.filter((each) => !retired.includes(each)),
  }));
}

/** Revokes all of the organization's certificates, and deletes the parameters. */
export async function endCertificates(platform: Platform, org: string): Promise<void> {
  const { vault, registry, parameters, parameterPrefix } = platform;
  const names = orgParameters(parameterPrefix, org);
  await parameters.delete(names.key);
  await parameters.delete(names.certificate);
  await retireLostCertificates(platform, org);
  const { certificateSerial, pendingCertificateSerial, retiredCertificateSerials } = await orgRecord(
    platform,
    org,
  );
  for (const serial of [certificateSerial, pendingCertificateSerial, ...retiredCertificateSerials]) {
    if (serial) await revokeCertificate(vault, serial);
  }
  await registry.orgs.update(
    org,
    ({ certificateSerial: _, pendingCertificateSerial: __, serverKey: ___, ...record }): OrgRecord => ({
      ...record,
      retiredCertificateSerials: [],
    }),
  );
}

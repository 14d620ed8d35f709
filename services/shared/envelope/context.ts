import type { Purpose } from "../work/kinds.ts";

/**
 * What an envelope is sealed for. It is additional authenticated data of the ciphertext and is bound at the key
 * provider too, so an envelope opens with exactly this context or not at all. It is not secret.
 */
export interface EncryptionContext {
  org: string;
  /** The credential's name; names with `@` are the platform's own. */
  credential: string;
  /** The credential's version in decimal; a sealing key's id for its private half. */
  version: string;
  purpose: Purpose;
  /** `policyHash` of the destination policy; `-` if there is none. */
  policy: string;
  /** The job's id, for a request on its way to a worker. */
  job?: string;
}

/** The context of a sealing key's private half. */
export const sealingKeyContext = (org: string, key: string, purpose: Purpose): EncryptionContext => ({
  org,
  credential: "@sealing-key",
  version: key,
  purpose,
  policy: "-",
});

/** One text for a context: members in this order. What HPKE takes as `info`, and transit as derivation context. */
export function canonicalContext({
  org,
  credential,
  version,
  purpose,
  policy,
  job,
}: EncryptionContext): string {
  return JSON.stringify({ org, credential, version, purpose, policy, ...(job !== undefined && { job }) });
}

/** A context's members, as the AWS Encryption SDK and KMS take them. */
export const contextMembers = (context: EncryptionContext): Record<string, string> =>
  JSON.parse(canonicalContext(context));

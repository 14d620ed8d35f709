import { readFileSync } from "node:fs";
import type { VaultClient } from "./client.ts";

/** The policies of the internal Vault, and of each org Vault; each is the file `vault-policies/<name>.hcl`. */
export const INTERNAL_POLICIES = [
  "control-plane",
  "operator",
  "intake",
  "worker-integration",
  "worker-webhook",
  "worker-broker",
] as const;
export const ORG_POLICIES = [
  "reader",
  "writer",
  "admin",
  "machine",
  "machine-issuer",
  "platform-observe",
  "platform-maintain",
  "platform-backup",
] as const;

/** The text of a policy's file. */
export const policyText = (name: string): string =>
  readFileSync(new URL(`../../../vault-policies/${name}.hcl`, import.meta.url), "utf8");

/** Writes a policy, by default the text of its file. */
export async function writePolicy(
  client: VaultClient,
  name: string,
  policy: string = policyText(name),
): Promise<void> {
  await client.write(`sys/policies/acl/${name}`, { policy });
}

import { randomBytes } from "node:crypto";
import { seal } from "../../shared/envelope/envelope.ts";
import { Secret } from "../../shared/secret.ts";
import { type DestinationPolicy, policyHash } from "../../shared/work/destination.ts";
import type { Intake } from "../dependencies.ts";
import type { StoredSecrets } from "./records.ts";

const SECRET_BYTES = 32;

/** A webhook's signing secret: shown once, and sealed. */
export interface NewSecret {
  /** `whsec_` and base64, as Standard Webhooks has it. */
  text: Secret;
  stored: StoredSecrets["secrets"][number];
}

/** Makes a signing secret and seals it for a webhook's destination. Throws KeyProviderError. */
export async function makeSecret(
  { keys }: Pick<Intake, "keys">,
  { org, name, version, policy }: { org: string; name: string; version: number; policy: DestinationPolicy },
): Promise<NewSecret> {
  const random = randomBytes(SECRET_BYTES);
  const text = `whsec_${random.toString("base64")}`;
  random.fill(0);
  const context = {
    ...{ org, credential: name, version: String(version), purpose: "webhook" as const },
    policy: policyHash(policy),
  };
  const plaintext = new TextEncoder().encode(text);
  try {
    const envelope = Buffer.from(await seal(keys.webhook, context, plaintext)).toString("base64");
    return { text: new Secret(text), stored: { version, envelope } };
  } finally {
    plaintext.fill(0);
  }
}

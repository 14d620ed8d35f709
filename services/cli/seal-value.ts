import type { PutCredential } from "../shared/api/credentials.ts";
import { type BrokerPolicy, brokerPolicyHash } from "../shared/broker/policy.ts";
import { type SealingContext, sealValue } from "../shared/envelope/sealing.ts";
import { StrongroomError } from "../shared/errors.ts";
import type { Secret } from "../shared/secret.ts";
import { type DestinationPolicy, policyHash } from "../shared/work/destination.ts";
import { Failure } from "./failure.ts";
import type { Intake } from "./intake-client.ts";
import type { Output } from "./output.ts";
import { waitFor } from "./wait.ts";

const KEY_WITHIN_MS = 60_000;

/**
 * Seals a value to the organization's current public key, for the version of the credential that comes next. Waits for
 * a worker to make the organization's first key.
 */
export async function sealForPut(
  out: Output,
  intake: Intake,
  name: string,
  sealed: Pick<PutCredential, "purpose" | "destination">,
  value: Secret,
): Promise<Pick<Extract<PutCredential, { sealed: unknown }>, "sealed" | "version">> {
  const purpose = sealed.purpose ?? "integration";
  const { org, keys } = await waitFor(
    out,
    "Waiting for the organization's sealing key",
    () => intake.sealingKeys(purpose),
    {
      done: ({ keys }) => keys.some(({ state }) => state === "current"),
      doing: () => "a worker makes it",
      withinMs: KEY_WITHIN_MS,
      hint: "Is the worker running? Run: strongroom status",
    },
  );
  const key = keys.find(({ state }) => state === "current");
  if (!key) throw new Failure("unavailable", "The organization has no current sealing key");
  const version = await nextVersion(intake, name);
  const context: SealingContext = {
    org,
    credential: name,
    version: String(version),
    purpose,
    policy:
      purpose === "broker"
        ? brokerPolicyHash(sealed.destination as BrokerPolicy)
        : policyHash(sealed.destination as DestinationPolicy),
    key: key.id,
  };
  const plaintext = new TextEncoder().encode(value.reveal());
  try {
    const publicKey = new Uint8Array(Buffer.from(key.publicKey, "base64url"));
    return { sealed: await sealValue(publicKey, context, plaintext), version };
  } finally {
    plaintext.fill(0);
  }
}

async function nextVersion(intake: Intake, name: string): Promise<number> {
  try {
    return (await intake.credential(name)).version + 1;
  } catch (error) {
    if (error instanceof StrongroomError && error.code === "not_found") return 1;
    throw error;
  }
}

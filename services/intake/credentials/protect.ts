import type { PutCredential, SealedPurpose } from "../../shared/api/credentials.ts";
import type { EncryptionContext } from "../../shared/envelope/context.ts";
import { EnvelopeRefused, seal } from "../../shared/envelope/envelope.ts";
import { checkSealed } from "../../shared/envelope/sealing.ts";
import { StrongroomError } from "../../shared/errors.ts";
import type { Intake } from "../dependencies.ts";
import { currentSealingKey } from "../sealing-keys/records.ts";
import { checkHeaderLength, checkLength, valueBytes } from "./check-value.ts";
import type { StoredMaterial } from "./records.ts";

/**
 * A credential's value as it is stored. A value in clear is sealed here for the context; of a value that the client has
 * sealed all is checked that can be without the private key. Throws `invalid_value`, `body_too_large`,
 * `sealed_value_refused`, KeyProviderError.
 */
export async function protect(
  { keys, store }: Pick<Intake, "keys" | "store">,
  context: EncryptionContext & { purpose: SealedPurpose },
  body: PutCredential,
): Promise<StoredMaterial["material"]> {
  if ("value" in body) {
    const value = valueBytes(body.value, body.purpose === "broker" ? body.destination : undefined);
    checkHeaderLength(value.byteLength, body.destination);
    try {
      const envelope = await seal(keys[context.purpose], context, value);
      return { envelope: Buffer.from(envelope).toString("base64") };
    } finally {
      value.fill(0);
    }
  }
  if (String(body.version) !== context.version) {
    throw refused("/body/version", `The next version is ${context.version}. Seal the value for it.`);
  }
  const current = await currentSealingKey(store, context);
  if (current === undefined) {
    throw refused(
      "/body/sealed/key",
      `The organization has no sealing key yet. Get one: GET /v1/sealing-keys?purpose=${context.purpose}.`,
    );
  }
  const length = await checkSealed(body.sealed, current).catch((error: unknown) => {
    if (!(error instanceof EnvelopeRefused)) throw error;
    throw refused("/body/sealed", `${error.message}.`, error);
  });
  checkLength(length);
  checkHeaderLength(length, body.destination);
  return { sealed: body.sealed };
}

const refused = (pointer: string, message: string, cause?: unknown) =>
  new StrongroomError("sealed_value_refused", message, { cause, errors: [{ pointer, message }] });

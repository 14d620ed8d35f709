import type { KeyObject } from "node:crypto";
import { compactVerify } from "jose";
import type { Static, TSchema } from "typebox";
import { Value } from "typebox/value";

/** A kind of document that the control plane publishes as a compact JWS (ES256). */
export interface SignedKind<Schema extends TSchema> {
  /** Its `typ`, so that no other thing signed by the same key is taken for it. */
  typ: string;
  schema: Schema;
  /** Makes the error for one that is not to be used. */
  refuse(reason: "signature" | "form", detail: string): Error;
}

/**
 * Gives the content of a published document, once its signature by the one public key configured, its type and its
 * form are checked, in this order. Throws what `refuse` makes.
 */
export async function readSigned<Schema extends TSchema>(
  jws: string,
  key: KeyObject,
  { typ, schema, refuse }: SignedKind<Schema>,
): Promise<Static<Schema>> {
  const { payload, protectedHeader } = await compactVerify(jws, key, { algorithms: ["ES256"] }).catch(() => {
    throw refuse("signature", "it is not signed by the key configured");
  });
  if (protectedHeader.typ !== typ) throw refuse("form", "it is signed, but another kind of document");
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
  } catch {
    throw refuse("form", "it is not JSON");
  }
  if (Value.Check(schema, value)) return value;
  const [first] = Value.Errors(schema, value);
  throw refuse("form", `${first?.instancePath} ${first?.message}`);
}

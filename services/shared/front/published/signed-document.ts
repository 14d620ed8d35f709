import type { KeyObject } from "node:crypto";
import { compactVerify } from "jose";
import type { Static, TSchema } from "typebox";
import { Value } from "typebox/value";

/** A kind of document that the control plane publishes as a compact JWS (ES256). */
export interface SignedKind<Schema extends TSchema> {
  /** Its `typ`, so that no other object signed by the same key is mistaken for it. */
  typ: string;
  schema: Schema;
  /** Creates the error for a document that must not be used. */
  refuse(reason: "signature" | "form", detail: string): Error;
}

/**
 * The content of a published document, after checking its signature with the configured public key, its type and its
 * form, in this order. Throws the error that `refuse` creates.
 */
export async function readSigned<Schema extends TSchema>(
  jws: string,
  key: KeyObject,
  { typ, schema, refuse }: SignedKind<Schema>,
): Promise<Static<Schema>> {
  const { payload, protectedHeader } = await compactVerify(jws, key, { algorithms: ["ES256"] }).catch(() => {
    throw refuse("signature", "it is not signed by the configured key");
  });
  if (protectedHeader.typ !== typ)
    throw refuse("form", "the signature is valid, but it is another kind of document");
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

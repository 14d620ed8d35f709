import { type EncryptionContext, sealingKeyContext } from "../shared/envelope/context.ts";
import { seal } from "../shared/envelope/envelope.ts";
import type { KeyProvider } from "../shared/envelope/key-provider.ts";
import { makeSealingKeyPair } from "../shared/envelope/sealing.ts";
import type { Purpose } from "../shared/work/kinds.ts";
import type { Material, Outcome } from "../shared/work/messages.ts";
import { openCredential } from "./open-credential.ts";

/** Makes a sealing key of an organization; its private half leaves this function only in an envelope. */
export async function makeSealingKey(
  keys: KeyProvider,
  org: string,
  key: string,
  purpose: Purpose,
): Promise<Outcome> {
  const pair = await makeSealingKeyPair();
  try {
    const wrapped = await seal(keys, sealingKeyContext(org, key, purpose), pair.privateKey);
    return {
      state: "key-made",
      publicKey: Buffer.from(pair.publicKey).toString("base64url"),
      privateKey: Buffer.from(wrapped).toString("base64"),
    };
  } finally {
    pair.privateKey.fill(0);
  }
}

/** A credential sealed anew for the same context, by the key provider's current key. */
export async function rewrap(
  keys: KeyProvider,
  context: EncryptionContext,
  material: Material,
): Promise<Outcome> {
  return { state: "rewrapped", envelope: await resealed(keys, context, material) };
}

/** Opens a value and seals it anew for the same context; base64. */
export async function resealed(
  keys: KeyProvider,
  context: EncryptionContext,
  material: Material,
): Promise<string> {
  const value = await openCredential(keys, context, material);
  try {
    return Buffer.from(await seal(keys, context, value)).toString("base64");
  } finally {
    value.fill(0);
  }
}

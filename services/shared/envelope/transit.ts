import { type VaultBody, type VaultClient, VaultError } from "../vault/client.ts";
import { canonicalContext, type EncryptionContext } from "./context.ts";
import { type KeyProvider, KeyProviderError, type KeyProviderFailure } from "./key-provider.ts";

/** The transit mount at the internal Vault for credentials' keys. */
export const CREDENTIAL_KEYS_MOUNT = "credential-keys";

const DATA_KEY_BYTES = 32;
const DATA_KEY_BASE64 = /^[A-Za-z0-9+/]{43}=$/;
const CIPHERTEXT = /^vault:v[1-9][0-9]{0,8}:[A-Za-z0-9+/]{1,500}={0,2}$/;

/**
 * The key provider `transit:<key>`: a derived key of the internal Vault's mount for credentials. Vault derives a key
 * from the context for each call, so an encrypted data key opens only with the context for which it was made. An
 * encrypted data key is Vault's own text (`vault:v1:…`) in ASCII, 89 bytes with key version 1.
 */
export function transitKeyProvider(client: VaultClient, key: string): KeyProvider {
  const name = `transit:${key}`;
  const ask = async (operation: string, context: EncryptionContext, body: object): Promise<VaultBody> => {
    const path = `${CREDENTIAL_KEYS_MOUNT}/${operation}/${key}`;
    try {
      const answer = await client.write(path, {
        ...body,
        context: Buffer.from(canonicalContext(context)).toString("base64"),
      });
      return (answer.data ?? {}) as VaultBody;
    } catch (error) {
      throw new KeyProviderError(reasonOf(error, path), `${name}: ${operation} failed`, { cause: error });
    }
  };

  return {
    name,
    async makeDataKey(context) {
      const { plaintext, ciphertext } = await ask("datakey/plaintext", context, {});
      if (typeof ciphertext !== "string" || !CIPHERTEXT.test(ciphertext)) throw unusable(name);
      return { plaintext: dataKey(name, plaintext), encrypted: new TextEncoder().encode(ciphertext) };
    },
    async openDataKey(context, encrypted) {
      const ciphertext = Buffer.from(encrypted).toString("latin1");
      if (!CIPHERTEXT.test(ciphertext)) throw new KeyProviderError("refused", `${name}: not a data key`);
      const { plaintext } = await ask("decrypt", context, { ciphertext });
      return dataKey(name, plaintext);
    },
  };
}

const unusable = (name: string) =>
  new KeyProviderError("unavailable", `${name}: the internal Vault's answer has no usable data key`);

/** A data key from base64. (Vault's answer itself is text, which cannot be zeroed.) */
function dataKey(name: string, text: unknown): Uint8Array {
  if (typeof text !== "string" || !DATA_KEY_BASE64.test(text)) throw unusable(name);
  const decoded = Buffer.from(text, "base64");
  const key = new Uint8Array(DATA_KEY_BYTES);
  key.set(decoded);
  decoded.fill(0);
  return key;
}

/**
 * Vault answers 400 if the ciphertext does not open with this key and context. It also answers 400 to a login that it
 * does not accept, which says nothing about the ciphertext.
 */
function reasonOf(error: unknown, path: string): KeyProviderFailure {
  if (!(error instanceof VaultError)) return "unavailable";
  if (error.status === 400 && error.operation.endsWith(` ${path}`)) return "refused";
  return [400, 403, 404].includes(error.status) ? "forbidden" : "unavailable";
}

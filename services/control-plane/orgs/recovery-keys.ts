import { createMessage, encrypt, type Key, readKey } from "openpgp";
import { StrongroomError } from "../../shared/errors.ts";

/** Shares of an organization's recovery key where the platform's own PGP key holds them all. */
const PLATFORM_SHARES = 3;

/** Of `shares` recovery keys, how many are needed: the majority, and two at least. */
export const recoveryThreshold = (shares: number): number => Math.floor(shares / 2) + 1;

/** The platform's own key, once for each share. */
export async function platformRecoveryKeys(publicKey: string): Promise<string[]> {
  const [key] = await usableKeys([publicKey]);
  return Array<string>(PLATFORM_SHARES).fill(key as string);
}

/**
 * PGP public keys, armored or base64, as Vault takes them (base64 of the binary form), each tried by
 * encrypting to it: Vault finds out about a bad one only once its own keys are lost. Throws
 * `recovery_key_unusable`, which says which key and why.
 */
export async function usableKeys(keys: string[]): Promise<string[]> {
  return Promise.all(
    keys.map(async (text, index) => {
      try {
        const key = await read(text);
        if (key.isPrivate())
          throw new Error("it is a private key; give the public one, and keep this one safe");
        const message = await createMessage({ text: "test" });
        await encrypt({ message, encryptionKeys: key });
        return Buffer.from(key.write()).toString("base64");
      } catch (error) {
        const why = error instanceof Error ? error.message : "it cannot be read";
        const detail = `recoveryPgpKeys/${index}: ${why.slice(0, 200)}`;
        throw new StrongroomError("recovery_key_unusable", detail, { cause: error });
      }
    }),
  );
}

async function read(text: string): Promise<Key> {
  if (text.trimStart().startsWith("-----BEGIN PGP")) return readKey({ armoredKey: text });
  const compact = text.replace(/\s/g, "");
  const binaryKey = Buffer.from(compact, "base64");
  if (binaryKey.toString("base64") !== compact) throw new Error("it is neither armored nor base64");
  return readKey({ binaryKey });
}

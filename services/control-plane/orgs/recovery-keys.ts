import { createMessage, encrypt, type Key, readKey } from "openpgp";
import { StrongroomError } from "../../shared/errors.ts";

/** Number of recovery-key shares of an organization if all are encrypted to the platform's own PGP key. */
const PLATFORM_SHARES = 3;

/** The number of `shares` required for recovery: a majority, and at least two. */
export const recoveryThreshold = (shares: number): number => Math.floor(shares / 2) + 1;

/** The platform's own key, repeated for each share. */
export async function platformRecoveryKeys(publicKey: string): Promise<string[]> {
  const [key] = await usableKeys([publicKey]);
  return Array<string>(PLATFORM_SHARES).fill(key as string);
}

/**
 * Converts PGP public keys, armored or base64, to Vault's format (base64 of the binary form), after a test
 * encryption to each: with an unusable key Vault would initialize and lose its recovery keys. Throws
 * `recovery_key_unusable`, which names the key and the reason.
 */
export async function usableKeys(keys: string[]): Promise<string[]> {
  return Promise.all(
    keys.map(async (text, index) => {
      try {
        const key = await read(text);
        if (key.isPrivate())
          throw new Error("it is a private key; send the public key, and keep the private one safe");
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

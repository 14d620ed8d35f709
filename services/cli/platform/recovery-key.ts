import { readText, writeFileAtomic } from "../../shared/files.ts";
import type { StateFolder } from "./state-folder.ts";

/**
 * Creates the platform's own PGP key if there is none. The recovery keys of organizations without PGP keys of
 * their own are encrypted to it. Its private key has no passphrase: the file's mode protects it.
 */
export async function ensureRecoveryKey(state: StateFolder): Promise<void> {
  if (await readText(state.recoveryPublicKey)) return;
  const { generateKey, readPrivateKey } = await import("openpgp");
  const kept = await readText(state.recoveryKey);
  const key = kept
    ? await readPrivateKey({ armoredKey: kept })
    : (
        await generateKey({
          type: "ecc",
          curve: "nistP256",
          userIDs: [{ name: "Strongroom recovery" }],
          format: "object",
        })
      ).privateKey;
  if (!kept) await writeFileAtomic(state.recoveryKey, key.armor());
  await writeFileAtomic(state.recoveryPublicKey, key.toPublic().armor());
}

import { KeyProviderError } from "../shared/envelope/key-provider.ts";
import { StrongroomError } from "../shared/errors.ts";
import type { DirectorySource } from "../shared/front/published/directory-source.ts";
import type { RevocationSource } from "../shared/front/published/revocation-source.ts";
import { PURPOSES } from "../shared/work/kinds.ts";
import type { Intake } from "./dependencies.ts";

/** Anyone may ask, so the store and the key providers are asked at most this often. */
const CHECK_EVERY_MS = 5_000;

/**
 * Returns a check of published documents, store and key providers. It throws `directory_unavailable`, `revocations_unavailable`,
 * `store_unavailable` or `key_provider_unavailable`.
 */
export function readinessCheck(
  { store, keys }: Pick<Intake, "store" | "keys">,
  { directory, revocations }: { directory: DirectorySource; revocations: RevocationSource },
): () => Promise<void> {
  let checkedAt = Number.NEGATIVE_INFINITY;
  let checking: Promise<void> = Promise.resolve();
  const check = async (): Promise<void> => {
    await store.get({ partition: "ready", sort: "ready" });
    for (const purpose of PURPOSES) {
      const context = { org: "-", credential: "@ready", version: "1", purpose, policy: "-" };
      const { plaintext } = await keys[purpose].makeDataKey(context);
      plaintext.fill(0);
    }
  };
  return async () => {
    if (!directory.current)
      throw new StrongroomError("directory_unavailable", "No directory has been loaded yet.");
    if (revocations.version === undefined) {
      throw new StrongroomError("revocations_unavailable", "No revocation list has been loaded yet.");
    }
    if (performance.now() - checkedAt > CHECK_EVERY_MS) {
      checkedAt = performance.now();
      checking = check();
      checking.catch(() => {});
    }
    await checking.catch((error: unknown) => {
      if (!(error instanceof KeyProviderError)) throw error;
      throw new StrongroomError("key_provider_unavailable", "The key provider does not answer.", {
        cause: error,
      });
    });
  };
}

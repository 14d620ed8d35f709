import { createProgress } from "../../../services/cli/progress.ts";
import { findVault } from "../../../services/cli/vault-binary/find.ts";
import { createRegistry, DIRECTORY_KEY } from "../../../services/control-plane/registry/registry.ts";
import { DIRECTORY_TYP, type Directory } from "../../../services/shared/front/published/directory.ts";
import { VaultError } from "../../../services/shared/vault/client.ts";
import { kv2 } from "../../../services/shared/vault/kv.ts";
import { signCompactJws } from "../../../services/shared/vault/transit.ts";
import { type InternalVault, startInternalVault } from "../../harness/vault.ts";
import { directories } from "./directory.ts";

const RUNS = 5;
/** Between which sizes the largest that Vault takes is looked for, and how exactly. */
const SEARCH = { from: 1_000, to: 20_000, step: 50 };

/** What it takes the control plane to publish, by a real internal Vault. */
export interface Publishing {
  /** To have a version signed and kept, ms, by the number of organizations. */
  publishMs: { orgs: number; ms: number[] }[];
  /** The most organizations whose directory Vault signs and keeps. */
  most: number;
  /** What Vault says to one more. */
  refusal: string;
}

/** Signs and keeps directories as the control plane does, with its own login at a real internal Vault. */
export async function measurePublishing(sizes: number[]): Promise<Publishing> {
  const { path } = await findVault({ env: process.env, progress: createProgress(process.stderr) });
  const vault = await startInternalVault(path);
  try {
    const publish = publisher(vault);
    const publishMs: Publishing["publishMs"] = [];
    for (const orgs of sizes) {
      const directory = directories(orgs);
      const ms: number[] = [];
      for (let run = 1; run <= RUNS; run++) ms.push(await publish(directory(run)));
      publishMs.push({ orgs, ms });
    }
    let { from, to } = SEARCH;
    let refusal = "";
    while (to - from > SEARCH.step) {
      const orgs = Math.floor((from + to) / 2);
      try {
        await publish(directories(orgs)(1));
        from = orgs;
      } catch (error) {
        if (!(error instanceof VaultError)) throw error;
        to = orgs;
        refusal = error.message;
      }
    }
    return { publishMs, most: from, refusal };
  } finally {
    await vault.stop();
  }
}

/** Publishes a directory; gives the ms it took. */
function publisher({ controlPlane }: InternalVault): (directory: Directory) => Promise<number> {
  const registry = createRegistry(kv2(controlPlane, "registry"));
  return async (directory) => {
    const last = await registry.directory.read(DIRECTORY_KEY);
    const begun = performance.now();
    const jws = await signCompactJws(controlPlane, "directory", { typ: DIRECTORY_TYP }, directory);
    await registry.directory.replace(DIRECTORY_KEY, { version: directory.version, jws }, last?.version ?? 0);
    return performance.now() - begun;
  };
}

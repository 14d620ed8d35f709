import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { SelfCheckError } from "./self-check.ts";

/** Runs a Vault binary and throws {@link SelfCheckError} if it lacks something that the platform needs. */
export type BinaryCheck = (binary: string, signal?: AbortSignal) => Promise<void>;

/** The files that define a check: a change in them repeats it. */
const ASKED = ["../../../vault-policies", "."].map((folder) =>
  fileURLToPath(new URL(folder, import.meta.url)),
);

/**
 * Checks a binary unless this version of the platform has checked the same bytes before; calls `begin` before a
 * check that has to run. Resolves to the reason if the binary fails, otherwise to undefined. A check that timed
 * out is not cached: the machine may have been busy.
 */
export async function checkOnce(
  cache: string,
  binary: string,
  { check, begin, signal }: { check: BinaryCheck; begin: () => void; signal?: AbortSignal | undefined },
): Promise<string | undefined> {
  const folder = join(cache, "checked");
  const file = join(folder, `${await digestOfBinary(folder, binary)}.json`);
  const asked = await digestOf(await filesAsked());
  const known = (await read(file)) as { asked?: unknown; failed?: string } | undefined;
  if (known?.asked === asked) return known.failed;

  begin();
  let failed: string | undefined;
  try {
    await check(binary, signal);
  } catch (error) {
    if (!(error instanceof SelfCheckError)) throw error;
    if (error.late) return error.message;
    failed = error.message;
  }
  await write(file, { asked, failed });
  return failed;
}

/** The digest takes half a second, so it is cached while the file's inode, size and times stay the same. */
async function digestOfBinary(folder: string, binary: string): Promise<string> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(binary, { bigint: true });
  const same = createHash("sha256").update([dev, ino, size, mtimeNs, ctimeNs].join()).digest("hex");
  const file = join(folder, `${same}.digest`);
  const known = await read(file);
  if (typeof known === "string") return known;
  const digest = await digestOf([binary]);
  await write(file, digest);
  return digest;
}

async function filesAsked(): Promise<string[]> {
  const listed = ASKED.map(async (folder) =>
    (await readdir(folder))
      .filter((name) => /\.(ts|hcl)$/.test(name))
      .sort()
      .map((name) => join(folder, name)),
  );
  return (await Promise.all(listed)).flat();
}

async function digestOf(files: string[]): Promise<string> {
  const digest = createHash("sha256");
  for (const file of files) for await (const chunk of createReadStream(file)) digest.update(chunk);
  return digest.digest("hex");
}

async function read(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, "utf8"));
  } catch {
    return undefined;
  }
}

/** Writes atomically: other processes may be reading. */
async function write(file: string, value: unknown): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const unfinished = `${file}.${process.pid}`;
  await writeFile(unfinished, JSON.stringify(value), { mode: 0o600 });
  await rename(unfinished, file);
}

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { SelfCheckError } from "./self-check.ts";

/** Runs a Vault binary and throws {@link SelfCheckError} if it does not do what the platform asks of it. */
export type BinaryCheck = (binary: string, signal?: AbortSignal) => Promise<void>;

/** What a check asks of a binary: a change there asks again. */
const ASKED = ["../../../vault-policies", "."].map((folder) =>
  fileURLToPath(new URL(folder, import.meta.url)),
);

/**
 * Checks a binary unless the same bytes have been checked by this version of the platform; `begin` is called
 * before a check that has to run. Resolves to what the binary cannot do, or to undefined. A check that had no
 * answer in time is not remembered: the machine may have been busy.
 */
export async function checkOnce(
  cache: string,
  binary: string,
  { check, begin, signal }: { check: BinaryCheck; begin: () => void; signal?: AbortSignal | undefined },
): Promise<string | undefined> {
  const folder = join(cache, "checked");
  const file = join(folder, `${await digestOf([binary])}.json`);
  const asked = await digestOf(await filesAsked());
  const known = await read(file);
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
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const unfinished = `${file}.${process.pid}`;
  await writeFile(unfinished, JSON.stringify({ asked, failed }), { mode: 0o600 });
  await rename(unfinished, file);
  return failed;
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

async function read(file: string): Promise<{ asked?: unknown; failed?: string } | undefined> {
  try {
    return JSON.parse(await readFile(file, "utf8"));
  } catch {
    return undefined;
  }
}

import { copyFile, open, rename, rm, stat, truncate } from "node:fs/promises";

/** When a growing file is rotated (bytes), and how many old ones are kept as `<path>.1` (newest) onwards. */
export interface RotationLimits {
  bytes: number;
  keep: number;
}

/**
 * Rotates a file by renaming it: nothing is lost, and its writer goes on writing into the renamed file until
 * it opens the path again. Returns whether it did.
 */
export async function rotateByRename(path: string, limits: RotationLimits): Promise<boolean> {
  if ((await sizeOf(path)) <= limits.bytes) return false;
  await makeRoom(path, limits.keep);
  await rename(path, `${path}.1`);
  return true;
}

/**
 * Rotates a file whose writer never opens it again (a child's stdout, opened for appending): copies it, then
 * empties it. Lines written between the two are lost. Returns whether it did.
 */
export async function rotateByCopy(path: string, limits: RotationLimits): Promise<boolean> {
  if ((await sizeOf(path)) <= limits.bytes) return false;
  await makeRoom(path, limits.keep);
  await copyFile(path, `${path}.1`);
  await truncate(path);
  return true;
}

async function makeRoom(path: string, keep: number): Promise<void> {
  await rm(`${path}.${keep}`, { force: true });
  for (let number = keep - 1; number >= 1; number--) {
    await rename(`${path}.${number}`, `${path}.${number + 1}`).catch(ignoreMissing);
  }
}

/** A file's size in bytes; 0 where there is none. */
export async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(ignoreMissing))?.size ?? 0;
}

const TAIL_BYTES = 16 * 1024;

/**
 * The last 16 KiB at most of what was written to a log since it had `from` bytes; if it is shorter than that
 * now, it was rotated in between, and what it holds is all newer.
 */
export async function readTail(path: string, from: number): Promise<string> {
  const file = await open(path, "r").catch(ignoreMissing);
  if (!file) return "";
  try {
    const { size } = await file.stat();
    const start = Math.max(size < from ? 0 : from, size - TAIL_BYTES);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - start), 0, size - start, start);
    return buffer.toString("utf8", 0, bytesRead);
  } finally {
    await file.close();
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}

import { copyFile, open, rename, rm, stat, truncate } from "node:fs/promises";

/** The size (bytes) at which a file is rotated, and the number of old files kept as `<path>.1` (newest) onwards. */
export interface RotationLimits {
  bytes: number;
  keep: number;
}

/**
 * Rotates a file by renaming it if it has reached the limit. Nothing is lost: its writer keeps writing into the
 * renamed file until it reopens the path. Returns whether it rotated.
 */
export async function rotateByRename(path: string, limits: RotationLimits): Promise<boolean> {
  if ((await sizeOf(path)) <= limits.bytes) return false;
  await makeRoom(path, limits.keep);
  await rename(path, `${path}.1`);
  return true;
}

/**
 * Rotates a file whose writer never reopens it (a child's stdout, opened for appending) by copying and truncating
 * it. Lines written in between are lost. Returns whether it rotated.
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

/** A file's size in bytes; 0 if it does not exist. */
export async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(ignoreMissing))?.size ?? 0;
}

const TAIL_BYTES = 16 * 1024;

/**
 * At most the last 16 KiB written to a log since it had `from` bytes. If it is shorter now, it was rotated in
 * between, and all of its content is newer.
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

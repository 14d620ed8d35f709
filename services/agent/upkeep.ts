import { readdir, statfs } from "node:fs/promises";
import { join } from "node:path";
import { type RotationLimits, rotateByRename } from "../shared/process/log-files.ts";

/**
 * Rotates the audit files of an instance's folder (`audit….log`) that have grown beyond the limit. Returns
 * whether Vault must be told to open its files again: also where an earlier rotation was cut off before that.
 */
export async function rotateAudit(dir: string, limits: RotationLimits): Promise<boolean> {
  const files = await readdir(dir);
  let reopen = false;
  for (const name of new Set(files.map((file) => /^audit.*?\.log/.exec(file)?.[0]))) {
    if (!name) continue;
    const cutOff = !files.includes(name) && files.includes(`${name}.1`);
    if (cutOff || (await rotateByRename(join(dir, name), limits))) reopen = true;
  }
  return reopen;
}

/** Bytes that the instance may still write on its folder's volume. */
export async function freeBytes(dir: string): Promise<number> {
  const { bavail, bsize } = await statfs(dir);
  return bavail * bsize;
}

import { readdir, statfs } from "node:fs/promises";
import { join } from "node:path";
import { type RotationLimits, rotateByRename } from "../shared/process/log-files.ts";

/**
 * Rotates the audit files in an instance's folder (`audit….log`) that exceed the limit. Returns whether Vault must
 * reopen its files, because of this rotation or an earlier, interrupted one.
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

/** Free bytes for the instance on its folder's volume. */
export async function freeBytes(dir: string): Promise<number> {
  const { bavail, bsize } = await statfs(dir);
  return bavail * bsize;
}

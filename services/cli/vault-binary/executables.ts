import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { delimiter, isAbsolute, join } from "node:path";

/** Whether a path is a file that this process may execute. */
export async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}

/** All executables of a name on a `PATH`, in its order; relative entries are not looked at. */
export async function findOnPath(name: string, path: string | undefined): Promise<string[]> {
  const found: string[] = [];
  for (const folder of (path ?? "").split(delimiter)) {
    if (isAbsolute(folder) && (await isExecutable(join(folder, name)))) found.push(join(folder, name));
  }
  return [...new Set(found)];
}

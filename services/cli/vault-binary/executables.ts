import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { delimiter, isAbsolute, join } from "node:path";

/** Whether this process can execute the file at a path. */
export async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}

/** All executables with a name on a `PATH`, in its order; ignores relative entries. */
export async function findOnPath(name: string, path: string | undefined): Promise<string[]> {
  const found: string[] = [];
  for (const folder of (path ?? "").split(delimiter)) {
    if (isAbsolute(folder) && (await isExecutable(join(folder, name)))) found.push(join(folder, name));
  }
  return [...new Set(found)];
}

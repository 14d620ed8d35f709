import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { StateFolder } from "./state-folder.ts";

/** Files and folders of a state folder that other users can read or write; undefined if it does not exist. */
export async function openFiles(state: StateFolder): Promise<string[] | undefined> {
  const root = await stat(state.path).catch(() => undefined);
  if (!root) return undefined;
  const entries = await readdir(state.path, { recursive: true, withFileTypes: true });
  const paths = [state.path, ...entries.map((entry) => join(entry.parentPath, entry.name))];
  const open = await Promise.all(
    paths.map(async (path) => {
      const found = await stat(path).catch(() => undefined);
      return found && (found.mode & 0o077) !== 0 ? [path] : [];
    }),
  );
  return open.flat();
}

import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { readText, writeFileAtomic } from "../files.ts";
import { Secret } from "../secret.ts";
import { checkParameterName, type ParameterStore } from "./store.ts";

/**
 * Parameters as files of one folder, one each, for the owner alone (0600). A file's name is the parameter's,
 * percent-encoded: it holds no slash, so no name leads out of the folder.
 */
export function localParameterStore(folder: string): ParameterStore {
  const file = (name: string) => join(folder, encodeURIComponent(checkParameterName(name)));
  return {
    async put(name, value) {
      await writeFileAtomic(file(name), value.reveal());
    },
    async get(name) {
      const text = await readText(file(name));
      return text === undefined ? undefined : new Secret(text);
    },
    async delete(name) {
      await rm(file(name), { force: true });
    },
    async list(prefix) {
      const files = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "ENOENT") throw error;
        return [];
      });
      // What does not start with an encoded slash is a write cut off half-way.
      const names = files.filter((each) => each.startsWith("%2F")).map(decodeURIComponent);
      return names.filter((name) => name.startsWith(prefix)).sort();
    },
  };
}

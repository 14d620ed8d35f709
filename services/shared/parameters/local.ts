import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { readText, writeFileAtomic } from "../files.ts";
import { Secret } from "../secret.ts";
import { checkParameterName, type ParameterStore } from "./store.ts";

/**
 * Parameters as files in one folder, readable only by their owner (0600). A file's name is the percent-encoded name
 * of the parameter: it contains no slash, so no name leads out of the folder.
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
      // Names without a leading encoded slash are interrupted writes.
      const names = files.filter((each) => each.startsWith("%2F")).map(decodeURIComponent);
      return names.filter((name) => name.startsWith(prefix)).sort();
    },
  };
}

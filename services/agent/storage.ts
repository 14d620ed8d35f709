import { readdir } from "node:fs/promises";
import { makeFolder, readJson, readText, writeFileAtomic, writeJson } from "../shared/files.ts";
import type { InstanceSpec } from "../shared/instance-spec.ts";
import type { instanceFolder } from "../shared/process/instance-folders.ts";

export type InstanceFolder = ReturnType<typeof instanceFolder>;

/**
 * Ensures that a folder belongs to the spec: marks it with the org and attempt at its first use, and refuses any
 * other spec from then on. Also refuses a folder that was set aside, or that has storage without a mark.
 */
export async function claimStorage(spec: InstanceSpec, folder: InstanceFolder): Promise<void> {
  await makeFolder(folder.dir);
  const setAside = await readText(folder.setAside);
  if (setAside !== undefined) throw new Error("the storage was set aside and must not be used again");
  const { org, attempt } = spec;
  const owner = (await readJson(folder.identity)) as { org?: unknown; attempt?: unknown } | undefined;
  if (owner) {
    if (owner.org === org && owner.attempt === attempt) return;
    throw new Error(`the storage belongs to ${owner.org}, attempt ${owner.attempt}`);
  }
  // Names with a leading dot are writes that a crash interrupted.
  const found = (await readdir(folder.dir)).filter((name) => !name.startsWith("."));
  if (found.length > 0) throw new Error("the storage has no mark of its owner");
  await writeJson(folder.identity, { org, attempt });
}

/** Writes Vault's configuration, with `{dir}` replaced by the folder's path, and creates its storage's folder. */
export async function writeConfig(spec: InstanceSpec, folder: InstanceFolder): Promise<void> {
  const config = withDir(spec.config, folder.dir);
  for (const path of storagePaths(config)) if (path.startsWith(`${folder.dir}/`)) await makeFolder(path);
  await writeFileAtomic(folder.config, `${JSON.stringify(config, null, 2)}\n`);
}

/** Replaces `{dir}` in every string value by the folder. */
export function withDir<T>(value: T, dir: string): T;
export function withDir(value: unknown, dir: string): unknown {
  if (typeof value === "string") return value.replaceAll("{dir}", () => dir);
  if (Array.isArray(value)) return value.map((each) => withDir(each, dir));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, withDir(each, dir)]));
}

/** Folders that must exist: raft does not create its own. */
function storagePaths(config: InstanceSpec["config"]): string[] {
  const blocks = [config.storage].flat().flatMap((block) => Object.values(block ?? {}));
  return blocks.map((block) => (block as { path?: unknown }).path).filter((path) => typeof path === "string");
}

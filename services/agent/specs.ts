import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { Value } from "typebox/value";
import { readJson } from "../shared/files.ts";
import { InstanceSpec } from "../shared/instance-spec.ts";
import { OrgId } from "../shared/org.ts";
import { specsFolder } from "../shared/process/instance-folders.ts";
import { listenerOf } from "./listener.ts";

/** The current content of the specs folder. */
export interface Specs {
  specs: Map<string, InstanceSpec>;
  /** Organizations whose spec must not be run, with the reason. */
  refused: Map<string, string>;
  /** Organizations whose withdrawn spec is not confirmed yet. */
  withdrawn: Set<string>;
}

interface Read {
  version: string;
  publishedMs: number;
  spec?: InstanceSpec;
  problem?: string;
}

/** Reads the specs folder, and each file only if it has changed. */
export class SpecReader {
  readonly #folder: string;
  #files = new Map<string, Read>();
  #accepted = new Map<string, InstanceSpec>();

  constructor(instances: string) {
    this.#folder = specsFolder(instances);
  }

  async read(): Promise<Specs> {
    const files = new Map<string, Read>();
    const withdrawn = new Set<string>();
    for (const file of await readdir(this.#folder)) {
      const [, org, kind] = /^(.+)\.(json|withdrawn)$/.exec(file) ?? [];
      if (!org || !Value.Check(OrgId, org)) continue;
      if (kind === "withdrawn") withdrawn.add(org);
      else {
        const read = await this.#readFile(org, join(this.#folder, file));
        if (read) files.set(org, read);
      }
    }
    this.#files = files;
    const { specs, refused } = this.#judge(files);
    this.#accepted = specs;
    return { specs, refused, withdrawn };
  }

  async #readFile(org: string, path: string): Promise<Read | undefined> {
    const known = this.#files.get(org);
    try {
      const { ino, size, mtimeMs } = await stat(path);
      const version = `${ino}/${size}/${mtimeMs}`;
      if (known?.version === version) return known;
      const about = { version, publishedMs: mtimeMs };
      try {
        return { ...about, spec: checkSpec(org, await readJson(path)) };
      } catch (error) {
        return { ...about, problem: (error as Error).message };
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  /** If two specs claim the same port, the spec that already has it keeps it, otherwise the one published first. */
  #judge(files: Map<string, Read>): Pick<Specs, "specs" | "refused"> {
    const specs = new Map<string, InstanceSpec>();
    const refused = new Map<string, string>();
    const takenBy = new Map<number, string>();
    const holds = (org: string, spec: InstanceSpec) =>
      this.#accepted.get(org)?.listen === spec.listen ? 0 : 1;
    const order = [...files].sort(([org, a], [other, b]) => {
      const holding = a.spec && b.spec ? holds(org, a.spec) - holds(other, b.spec) : 0;
      return holding || a.publishedMs - b.publishedMs || (org < other ? -1 : 1);
    });
    for (const [org, { spec, problem }] of order) {
      if (!spec) {
        refused.set(org, `the spec is refused: ${problem}`);
        continue;
      }
      const port = Number(spec.listen.split(":")[1]);
      const other = takenBy.get(port) ?? takenBy.get(port + 1);
      if (other)
        refused.set(org, `the spec is refused: its ports ${port} and ${port + 1} conflict with ${other}'s`);
      else {
        specs.set(org, spec);
        takenBy.set(port, org).set(port + 1, org);
      }
    }
    return { specs, refused };
  }
}

/** The spec, if it is valid, consistent, and for this organization. Otherwise throws an error with the reason. */
export function checkSpec(org: string, value: unknown): InstanceSpec {
  if (!Value.Check(InstanceSpec, value)) {
    const [error] = Value.Errors(InstanceSpec, value);
    throw new Error(`${error?.instancePath || "it"} ${error?.message}`);
  }
  if (value.org !== org) throw new Error(`it belongs to ${value.org}`);
  const [host, port] = [value.listen.split(":")[0], Number(value.listen.split(":")[1])];
  if (host !== "127.0.0.1") throw new Error(`${value.listen} is not on this machine's loopback interface`);
  if (port < 1024 || port > 65_534) throw new Error(`port ${port} is out of range`);
  if (listenerOf(value.config).address !== value.listen) {
    throw new Error("its configuration listens on another address");
  }
  for (const [name, text] of Object.entries(value.environment)) {
    checkVariable(name);
    if (text.includes("\0")) throw new Error(`the environment variable ${name} contains a NUL`);
  }
  for (const secret of value.secrets) {
    if ("environment" in secret) checkVariable(secret.environment);
    else checkFile(secret.file);
  }
  for (const { file } of value.files ?? []) checkFile(file);
  return value;
}

function checkVariable(name: string): void {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) || name === "PATH" || name === "HOME") {
    throw new Error(`${JSON.stringify(name)} cannot be set as an environment variable`);
  }
}

/** A file must be in a subfolder, where it cannot replace the agent's own files, but not in Vault's storage. */
function checkFile(file: string): void {
  if (!/^(?!raft\/)[A-Za-z0-9_-]+(\/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$/.test(file)) {
    throw new Error(`${JSON.stringify(file)} is not an allowed path for a file`);
  }
}

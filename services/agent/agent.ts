import { readdir } from "node:fs/promises";
import { resolve } from "node:path";
import { Value } from "typebox/value";
import { makeFolder } from "../shared/files.ts";
import { OrgId } from "../shared/org.ts";
import { FolderWatch } from "../shared/process/folder-watch.ts";
import { specsFolder, statusFolder } from "../shared/process/instance-folders.ts";
import { Instance } from "./org-instance.ts";
import { SpecReader } from "./specs.ts";
import type { VaultProcessOptions } from "./vault-process.ts";

export interface AgentOptions extends Omit<VaultProcessOptions, "upkeepMs" | "graceMs"> {
  /** The folder shared with the control plane. */
  instances: string;
  /** Interval of reading specs if the system does not notify of changes, in ms. */
  pollMs?: number;
  /** Interval of checking health, audit files and free space, in ms. */
  upkeepMs?: number;
  /** Time between SIGTERM and SIGKILL, in ms. */
  graceMs?: number;
}

/**
 * Runs the instances published in the specs folder. Organizations are independent: none waits for another or is
 * affected by its failure.
 */
export class Agent {
  readonly #options: Required<AgentOptions>;
  readonly #specs: SpecReader;
  readonly #running = new Map<string, Instance>();
  #watch: FolderWatch | undefined;
  #closing = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(options: AgentOptions) {
    const instances = resolve(options.instances);
    this.#options = { pollMs: 150, upkeepMs: 2_000, graceMs: 10_000, ...options, instances };
    this.#specs = new SpecReader(instances);
  }

  /** Takes over running processes, and follows the specs folder from then on. */
  async start(): Promise<void> {
    const { instances, pollMs } = this.#options;
    await makeFolder(specsFolder(instances));
    await makeFolder(statusFolder(instances));
    this.#watch = new FolderWatch(specsFolder(instances), pollMs);
    // Processes of organizations that are no longer published may still run.
    for (const org of await readdir(instances)) if (Value.Check(OrgId, org)) this.#instance(org);
    this.#loop = this.#follow(this.#watch);
  }

  /** Stops every instance gracefully, and resolves when all have ended. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#watch?.close();
    await this.#loop;
    await Promise.all([...this.#running.values()].map((each) => each.close()));
  }

  async #follow(watch: FolderWatch): Promise<void> {
    let failing = false;
    while (!this.#closing) {
      try {
        await this.#pass();
        failing = false;
      } catch (error) {
        if (!failing) this.#options.logger.error({ err: error }, "cannot read the specs");
        failing = true;
      }
      await watch.next();
    }
  }

  async #pass(): Promise<void> {
    const { specs, refused, withdrawn } = await this.#specs.read();
    for (const [org, spec] of specs) this.#instance(org).want(spec);
    for (const [org, reason] of refused) this.#instance(org).refuse(reason);
    for (const org of withdrawn) this.#instance(org);
    for (const [org, instance] of this.#running) {
      if (specs.has(org) || refused.has(org)) continue;
      if (instance.gone) this.#running.delete(org);
      else instance.want(undefined);
    }
  }

  #instance(org: string): Instance {
    const known = this.#running.get(org);
    if (known) return known;
    const instance = new Instance(org, this.#options);
    this.#running.set(org, instance);
    return instance;
  }
}

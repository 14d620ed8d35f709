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
  /** How often specs are looked for where the system does not tell of a change. */
  pollMs?: number;
  /** How often health, audit files and free space are looked at. */
  upkeepMs?: number;
  /** Between SIGTERM and SIGKILL. */
  graceMs?: number;
}

/**
 * Runs what is published in the specs folder, each organization on its own: what one does, or fails to do,
 * holds up no other.
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

  /** Takes over what lives, and follows the specs folder from then on. */
  async start(): Promise<void> {
    const { instances, pollMs } = this.#options;
    await makeFolder(specsFolder(instances));
    await makeFolder(statusFolder(instances));
    this.#watch = new FolderWatch(specsFolder(instances), pollMs);
    // Whatever was started once may still run, whether or not it is published now.
    for (const org of await readdir(instances)) if (Value.Check(OrgId, org)) this.#instance(org);
    this.#loop = this.#follow(this.#watch);
  }

  /** Ends every instance, gracefully, and resolves when all are gone. */
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
        if (!failing) this.#options.logger.error({ err: error }, "the specs cannot be read");
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

import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Value } from "typebox/value";
import { readJson, writeJson } from "../shared/files.ts";
import { type InstanceSpec, InstanceStatus } from "../shared/instance-spec.ts";
import { instanceFolder, statusFile, withdrawnFile } from "../shared/process/instance-folders.ts";
import { endProcess, isSame, readProcessRecord } from "../shared/process/recorded-process.ts";
import { VaultProcess, type VaultProcessOptions } from "./vault-process.ts";

export interface InstanceOptions extends VaultProcessOptions {
  instances: string;
}

const RETRY_MS = 1_000;

/** One organization on this machine: reconciles its process with the published spec, and reports the status. */
export class Instance {
  readonly #org: string;
  readonly #options: InstanceOptions;
  #vault: VaultProcess | undefined;
  #wanted: { spec: InstanceSpec | undefined } | undefined;
  #done: { spec: InstanceSpec | undefined } | undefined;
  #refusal: string | undefined;
  #trouble: string | undefined;
  #closing = false;
  #working: Promise<void> | undefined;
  readonly #previous: Promise<InstanceStatus | undefined>;
  #reported: InstanceStatus | undefined;
  #reporting: Promise<void> = Promise.resolve();

  constructor(org: string, options: InstanceOptions) {
    this.#org = org;
    this.#options = options;
    this.#previous = lastStatus(options.instances, org);
  }

  /** Whether nothing of it runs or should run. */
  get gone(): boolean {
    return !this.#working && this.#done !== undefined && this.#done.spec === undefined;
  }

  /** Sets the desired instance; undefined for none. */
  want(spec: InstanceSpec | undefined): void {
    if (this.#wanted && this.#wanted.spec === spec && !this.#refusal) return;
    this.#refusal = undefined;
    this.#wanted = { spec };
    this.#work();
  }

  /** Reports why a published spec is not run. An instance of an earlier valid spec keeps running. */
  refuse(reason: string): void {
    if (this.#refusal === reason) return;
    this.#refusal = reason;
    this.#options.logger.warn({ org: this.#org, reason }, "spec refused");
    this.#report();
  }

  /** Stops the instance, and leaves its spec to the next agent. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.#working;
    await this.#end();
    await this.#reporting;
  }

  #work(): void {
    this.#working ??= this.#converge().finally(() => {
      this.#working = undefined;
      // The desired instance may have changed after the last check.
      if (!this.#closing && this.#done !== this.#wanted) this.#work();
    });
  }

  async #converge(): Promise<void> {
    while (!this.#closing && this.#wanted && this.#done !== this.#wanted) {
      const wanted = this.#wanted;
      try {
        await this.#apply(wanted.spec);
        this.#done = wanted;
        this.#trouble = undefined;
        this.#report();
      } catch (error) {
        const { message } = error as Error;
        if (message !== this.#trouble)
          this.#options.logger.error({ org: this.#org, err: error }, "cannot apply the spec");
        this.#trouble = message;
        this.#report();
        await sleep(RETRY_MS);
      }
    }
  }

  async #apply(spec: InstanceSpec | undefined): Promise<void> {
    const { instances } = this.#options;
    if (!spec) {
      await this.#end();
      await this.#reporting;
      await rm(withdrawnFile(instances, this.#org), { force: true });
      return;
    }
    if (this.#vault?.attempt === spec.attempt) return this.#vault.update(spec);
    await this.#end(spec.attempt);
    await rm(withdrawnFile(instances, this.#org), { force: true });
    const last = this.#reported ?? (await this.#previous);
    const previous = last?.attempt === spec.attempt ? last : undefined;
    const folder = instanceFolder(instances, this.#org, spec.attempt);
    this.#vault = new VaultProcess(spec, folder, this.#options, previous, () => this.#report());
    await this.#vault.start();
  }

  /** Stops the Vault, and any Vaults of other attempts that an earlier agent left behind. */
  async #end(exceptAttempt?: number): Promise<void> {
    await this.#vault?.stop();
    this.#vault = undefined;
    for (const record of await this.#survivors(exceptAttempt)) await endProcess(record, this.#options);
    if (exceptAttempt === undefined) this.#report();
  }

  async #survivors(exceptAttempt?: number) {
    const { instances } = this.#options;
    const attempts = await readdir(join(instances, this.#org)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
      return [];
    });
    const living = [];
    for (const attempt of attempts.map(Number)) {
      if (!Number.isInteger(attempt) || attempt === exceptAttempt) continue;
      const record = await readProcessRecord(instanceFolder(instances, this.#org, attempt).process);
      if (record && (await isSame(record, record.marker))) living.push(record);
    }
    return living;
  }

  /** Publishes the status if it differs from the last one. Each call waits for the previous one, so order holds. */
  #report(): void {
    this.#reporting = this.#reporting.then(async () => {
      const { instances, logger } = this.#options;
      try {
        this.#reported ??= await this.#previous;
        const status = await this.#status();
        if (!status || sameStatus(status, this.#reported)) return;
        await writeJson(statusFile(instances, this.#org), status);
        this.#reported = status;
      } catch (error) {
        logger.error({ org: this.#org, err: error }, "cannot write the status");
        if (!this.#closing) setTimeout(() => this.#report(), RETRY_MS).unref();
      }
    });
  }

  async #status(): Promise<InstanceStatus | undefined> {
    const about = { org: this.#org, updatedAt: new Date().toISOString() };
    const error = this.#refusal ?? this.#trouble;
    const lastError = error === undefined ? {} : { lastError: error };
    if (this.#vault) return { ...about, ...this.#vault.status, ...lastError };
    if (!this.#reported && !error) return undefined;
    const { attempt = 0, starts = 0, restart = 0, reload = 0 } = this.#reported ?? {};
    const state = (await this.#survivors()).length > 0 ? "running" : "stopped";
    return { ...about, attempt, state, starts, restart, reload, lowDisk: false, ...lastError };
  }
}

async function lastStatus(instances: string, org: string): Promise<InstanceStatus | undefined> {
  const status = await readJson(statusFile(instances, org)).catch(() => undefined);
  return Value.Check(InstanceStatus, status) ? status : undefined;
}

function sameStatus(one: InstanceStatus, other: InstanceStatus | undefined): boolean {
  const [a, b] = [one, other].map((status) => JSON.stringify({ ...status, updatedAt: "" }));
  return a === b;
}

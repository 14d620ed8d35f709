import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import type { InstanceSpec, InstanceStatus } from "../shared/instance-spec.ts";
import { orgServerName } from "../shared/org.ts";
import type { ParameterStore } from "../shared/parameters/store.ts";
import { exitReason, sealedReason } from "../shared/process/exit-reason.ts";
import { type RotationLimits, readTail, sizeOf } from "../shared/process/log-files.ts";
import { type ChildState, type Launch, Supervisor } from "../shared/process/supervise.ts";
import { askHealth, type Health } from "./ask-health.ts";
import { listenerOf } from "./listener.ts";
import { resolveSecrets } from "./secrets.ts";
import { claimStorage, type InstanceFolder, withDir, writeConfig } from "./storage.ts";
import { freeBytes, rotateAudit } from "./upkeep.ts";

export interface VaultProcessOptions {
  vaultBinary: string;
  parameters: ParameterStore;
  logger: Logger;
  auditLimits: RotationLimits;
  /** Free bytes below which it warns. */
  lowDiskBytes: number;
  /** Interval of checking health, audit files and free space, in ms. */
  upkeepMs: number;
  /** Time between SIGTERM and SIGKILL, in ms. */
  graceMs: number;
}

/** The part of an instance's status about its process. */
export type VaultProcessStatus = Omit<InstanceStatus, "org" | "updatedAt">;

/** Intervals of polling a starting Vault, in ms: at first, and later. */
const ASK = { everyMs: 30, forMs: 5_000, thenEveryMs: 500 };
/**
 * Time, in ms, after which a sealed or silent Vault has a fault: it answers shortly before it has unsealed itself,
 * and seals itself briefly during initialization.
 */
const FAULT_AFTER_MS = 2_000;

/** One attempt's Vault server, kept running and maintained according to its latest spec. */
export class VaultProcess {
  readonly attempt: number;
  readonly #folder: InstanceFolder;
  readonly #options: VaultProcessOptions;
  readonly #onChange: () => void;
  readonly #supervisor: Supervisor;
  #spec: InstanceSpec;
  /** The spec with which the latest start was prepared. */
  #prepared: InstanceSpec;
  /** The counters of the running process, or of the last attempted start. */
  #inForce: { restart: number; reload: number };
  readonly #startsBefore: number;
  #answered = false;
  /** The time since which it has been sealed or silent. */
  #faultSince: number | undefined;
  #lastError: string | undefined;
  #lowDisk = false;
  #pid: number | undefined;
  /** Size of the log when the process started; 0 for one taken over. */
  #logStart = 0;
  #upkeep: NodeJS.Timeout | undefined;
  #busy: Promise<void> | undefined;

  /** `previous` is the last reported status of the same attempt, perhaps by an earlier agent. */
  constructor(
    spec: InstanceSpec,
    folder: InstanceFolder,
    options: VaultProcessOptions,
    previous: InstanceStatus | undefined,
    onChange: () => void,
  ) {
    this.attempt = spec.attempt;
    this.#spec = spec;
    this.#prepared = spec;
    this.#folder = folder;
    this.#options = options;
    this.#onChange = onChange;
    this.#inForce = previous ?? spec;
    this.#startsBefore = previous?.starts ?? 0;
    this.#supervisor = new Supervisor({
      prepare: () => this.#prepare(),
      marker: folder.config,
      recordFile: folder.process,
      logFile: folder.log,
      graceMs: options.graceMs,
      explain: exitReason,
      onChange: (state) => this.#onProcess(state),
    });
  }

  /** Takes over the running process if it matches this spec, otherwise starts one. */
  async start(): Promise<void> {
    this.#supervisor.start();
    this.#upkeep = setInterval(() => {
      this.#busy ??= this.#lookAfter().finally(() => {
        this.#busy = undefined;
      });
    }, this.#options.upkeepMs);
    const { restart, reload } = this.#inForce;
    if (restart !== this.#spec.restart || reload !== this.#spec.reload) await this.#restart();
  }

  /** Applies a newer spec of the same attempt; changes without a new counter apply at the next start. */
  async update(spec: InstanceSpec): Promise<void> {
    this.#spec = spec;
    const { restart, reload } = this.#inForce;
    if (restart !== spec.restart) await this.#restart();
    else if (reload !== spec.reload) await this.#reload(spec);
    this.#onChange();
  }

  async stop(): Promise<void> {
    clearInterval(this.#upkeep);
    this.#forget();
    await this.#busy;
    await this.#supervisor.stop();
  }

  get status(): VaultProcessStatus {
    const { state, pid, startedAt, starts, exitCode } = this.#supervisor.state;
    return {
      attempt: this.attempt,
      state: state === "running" && !this.#answered ? "starting" : state,
      ...(state === "running" && { pid, startedAt }),
      starts: this.#startsBefore + starts,
      restart: this.#inForce.restart,
      reload: this.#inForce.reload,
      ...(exitCode !== undefined && { exitCode }),
      ...(this.#lastError !== undefined && state !== "stopped" && { lastError: this.#lastError }),
      lowDisk: this.#lowDisk,
    };
  }

  async #prepare(): Promise<Launch> {
    const spec = this.#spec;
    const { dir, config } = this.#folder;
    this.#inForce = spec;
    await claimStorage(spec, this.#folder);
    const secrets = await resolveSecrets(spec, dir, this.#options.parameters);
    await writeConfig(spec, this.#folder);
    this.#prepared = spec;
    this.#logStart = await sizeOf(this.#folder.log);
    const environment: Launch["environment"] = { PATH: "/usr/bin:/bin", HOME: dir, ...spec.environment };
    for (const [name, value] of Object.entries(secrets)) environment[name] = value.reveal();
    return {
      command: this.#options.vaultBinary,
      args: ["server", `-config=${config}`],
      environment,
      folder: dir,
    };
  }

  async #restart(): Promise<void> {
    this.#forget();
    await this.#supervisor.restart();
  }

  /** Ignores the health of a process that is being stopped. */
  #forget(): void {
    this.#pid = undefined;
    this.#answered = false;
    this.#faultSince = undefined;
  }

  /** A Vault that does not answer yet may have no signal handler either: SIGHUP would kill it. */
  async #reload(spec: InstanceSpec): Promise<void> {
    if (!this.#answered) return this.#restart();
    await resolveSecrets(spec, this.#folder.dir, this.#options.parameters);
    if (await this.#supervisor.signal("SIGHUP")) this.#inForce = { ...this.#inForce, reload: spec.reload };
  }

  #onProcess({ state, pid, reason }: ChildState): void {
    const running = state === "running";
    if (state === "backoff") this.#setError(reason);
    if (!running || pid !== this.#pid) this.#forget();
    if (pid !== undefined && pid !== this.#pid) {
      this.#pid = pid;
      this.#awaitAnswer(pid).catch((error) => this.#setError((error as Error).message));
    }
    this.#onChange();
  }

  async #awaitAnswer(pid: number): Promise<void> {
    const begun = performance.now();
    while (this.#pid === pid) {
      const { answers, sealed } = await this.#look(pid);
      const age = performance.now() - begun;
      if (answers && (!sealed || age > FAULT_AFTER_MS)) return;
      await sleep(age < ASK.forMs ? ASK.everyMs : ASK.thenEveryMs);
    }
  }

  /** Checks a process's health and records it, unless the process has been replaced meanwhile. */
  async #look(pid: number): Promise<Health> {
    const { address, certificate } = listenerOf(this.#prepared.config);
    const health = await askHealth({
      address,
      ...(certificate && { certificate: withDir(certificate, this.#folder.dir) }),
      serverName: orgServerName(this.#spec.org),
    });
    if (this.#pid !== pid) return health;
    const { answers, sealed, problem } = health;
    const first = answers && !this.#answered;
    if (answers) this.#answered = true;
    if (answers && !sealed) {
      this.#faultSince = undefined;
      this.#setError(problem);
    } else {
      this.#faultSince ??= performance.now();
      if (performance.now() - this.#faultSince > FAULT_AFTER_MS) {
        const fault = sealed ? await this.#whySealed() : problem;
        // During a start, the reason why the last run ended is more useful than that there is no answer yet.
        this.#setError(this.#answered ? fault : (this.#lastError ?? fault));
      }
    }
    if (first) this.#onChange();
    return health;
  }

  async #whySealed(): Promise<string> {
    const reason = sealedReason(await readTail(this.#folder.log, this.#logStart));
    return reason ? `it is sealed: ${reason}` : "it is sealed";
  }

  #setError(error: string | undefined): void {
    if (error === this.#lastError) return;
    this.#lastError = error;
    const about = { org: this.#spec.org, attempt: this.attempt };
    if (error) this.#options.logger.warn({ ...about, reason: error }, "Vault unhealthy");
    else this.#options.logger.info(about, "Vault healthy");
    this.#onChange();
  }

  async #lookAfter(): Promise<void> {
    const about = { org: this.#spec.org, attempt: this.attempt };
    const { logger, auditLimits, lowDiskBytes } = this.#options;
    const { dir } = this.#folder;
    try {
      if (this.#pid !== undefined && this.#answered) {
        await this.#look(this.#pid);
        if (await rotateAudit(dir, auditLimits)) await this.#supervisor.signal("SIGHUP");
      }
      const free = await freeBytes(dir);
      const lowDisk = free < lowDiskBytes;
      if (lowDisk === this.#lowDisk) return;
      this.#lowDisk = lowDisk;
      if (lowDisk)
        logger.warn({ ...about, free }, "the audit volume is low on space; a full volume stops the Vault");
      else logger.info({ ...about, free }, "the audit volume has enough space again");
      this.#onChange();
    } catch (error) {
      logger.error({ ...about, err: error }, "cannot maintain the Vault's files");
    }
  }
}

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
  /** Warns below this many free bytes. */
  lowDiskBytes: number;
  /** How often health, audit files and free space are looked at. */
  upkeepMs: number;
  /** Between SIGTERM and SIGKILL. */
  graceMs: number;
}

/** What an instance's status says of its process. */
export type VaultProcessStatus = Omit<InstanceStatus, "org" | "updatedAt">;

/** How quickly a starting Vault is asked again whether it answers yet: for a while, and then. */
const ASK = { everyMs: 30, forMs: 5_000, thenEveryMs: 500 };
/**
 * How long a Vault must be sealed or silent to be called so: it answers some moments before it has unsealed
 * itself, and seals itself for a moment while it is initialized.
 */
const FAULT_AFTER_MS = 2_000;

/** One attempt's Vault server: kept running by its latest spec, and looked after. */
export class VaultProcess {
  readonly attempt: number;
  readonly #folder: InstanceFolder;
  readonly #options: VaultProcessOptions;
  readonly #onChange: () => void;
  readonly #supervisor: Supervisor;
  #spec: InstanceSpec;
  /** The spec by which the next process to start was prepared. */
  #prepared: InstanceSpec;
  /** The counters by which the process runs, or was last tried to be started. */
  #inForce: { restart: number; reload: number };
  readonly #startsBefore: number;
  #answered = false;
  /** Since when it has been sealed or silent. */
  #faultSince: number | undefined;
  #lastError: string | undefined;
  #lowDisk = false;
  #pid: number | undefined;
  /** Size of the log when the process began; 0 for one taken over. */
  #logStart = 0;
  #upkeep: NodeJS.Timeout | undefined;
  #busy: Promise<void> | undefined;

  /** `previous` is what was last reported of the same attempt, perhaps by an agent before this one. */
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

  /** Takes over the process that lives, if it runs by this spec, or starts one. */
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

  /** Takes a newer spec of the same attempt; what neither counter announces holds from the next start. */
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

  /** What a process says, or fails to say, while it is being ended means nothing. */
  #forget(): void {
    this.#pid = undefined;
    this.#answered = false;
    this.#faultSince = undefined;
  }

  /** A Vault that does not answer yet may not have its signal handler either, and a SIGHUP would end it. */
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

  /** Asks a process for its health and takes note of it, unless it has been given up in the meantime. */
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
        // While it starts, why its last run ended says more than that it does not answer yet.
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
    if (error) this.#options.logger.warn({ ...about, reason: error }, "the Vault has a problem");
    else this.#options.logger.info(about, "the Vault is well");
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
        logger.warn({ ...about, free }, "the audit volume is running full; a full one stops the Vault");
      else logger.info({ ...about, free }, "the audit volume has room again");
      this.#onChange();
    } catch (error) {
      logger.error({ ...about, err: error }, "the Vault's files cannot be looked after");
    }
  }
}

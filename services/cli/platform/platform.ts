import { rm } from "node:fs/promises";
import { writeJson } from "../../shared/files.ts";
import { LOCAL_ISSUER } from "../../shared/identity/local-provider.ts";
import { isSame, readProcessRecord } from "../../shared/process/identity.ts";
import type { Progress } from "../../shared/progress.ts";
import { findVault } from "../../shared/vault/binary.ts";
import { ControlPlane } from "../client.ts";
import { Failure } from "../failure.ts";
import { whenServed } from "../gateway.ts";
import { operatorTokens } from "../session.ts";
import { InternalVault } from "./internal-vault.ts";
import { freePort, isFree, requireFree } from "./ports.ts";
import { ensureRecoveryKey } from "./recovery-key.ts";
import { Service } from "./service.ts";
import { serviceSettings, writeSettingFiles } from "./service-settings.ts";
import { type PlatformFile, SERVICES, type Settled, type StateFolder } from "./state-folder.ts";
import { endSurvivors, killEverything } from "./survivors.ts";

/** Nothing is asked of a part that has been stopped, and the internal Vault goes last: the others use it. */
const STOP_ORDER = ["gateway", "control-plane", "agent", "identity-provider", "internal-vault"];
const ORGS_WITHIN_MS = 60_000;
const DEFAULT_PERIOD_SECONDS = 768 * 3600;

export interface PlatformOptions {
  state: StateFolder;
  /** 0: any free one. */
  gatewayPort: number;
  controlPlanePort: number;
  /** For a new state folder (768 h unless given); an older one keeps its own. */
  unsealTokenPeriodSeconds: number | undefined;
  progress: Progress;
  /** Where the Vault binary is looked for. */
  env: Record<string, string | undefined>;
  /** Gives up the start. */
  signal: AbortSignal;
}

interface Part {
  start(signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
}

/** The whole platform on this machine: what `strongroom up` starts, watches and stops. */
export class Platform {
  readonly #options: PlatformOptions;
  readonly #parts = new Map<string, Part>();
  #unlock: (() => Promise<void>) | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: PlatformOptions) {
    this.#options = options;
  }

  /** Brings everything up, or throws; then {@link stop} ends what came up until there. */
  async start(): Promise<PlatformFile> {
    const { state, progress, signal, env } = this.#options;
    await state.prepare();
    this.#unlock = await state.lock();
    await rm(state.platformFile, { force: true });
    const survivors = await endSurvivors(state);
    if (survivors.length > 0) progress.line(`Ended what a killed start had left: ${survivors.join(", ")}`);
    const { settled, gatewayPort, controlPlanePort } = await this.#addresses();
    await ensureRecoveryKey(state);
    const running: Running = {
      gateway: `http://127.0.0.1:${gatewayPort}`,
      controlPlane: `http://127.0.0.1:${controlPlanePort}`,
      identityProvider: `http://127.0.0.1:${settled.identityProviderPort}`,
      internalVault: `http://127.0.0.1:${settled.internalVaultPort}`,
    };
    const service = (name: ServiceName, vaultBinary: string) => {
      const settings = serviceSettings(name, { ...running, vaultBinary }, state, settled);
      return this.#up(name, new Service(name, state, settings, progress.line));
    };
    await this.#organizations(file);
    await writeJson(state.platformFile, file);
    return file;
  }

  /** Stops all of it and lets go of the folder. A call while one lasts waits for the same. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** Kills all of it at once, for whoever will not wait for {@link stop}. */
  async kill(): Promise<void> {
    // Told to stop, none of them is started again.
    for (const part of this.#parts.values()) part.stop().catch(() => {});
    await killEverything(this.#options.state);
    await this.#unlock?.();
  }

  async #stop(): Promise<void> {
    if (!this.#unlock) return;
    const { state, progress } = this.#options;
    await rm(state.platformFile, { force: true });
    for (const name of STOP_ORDER) {
      const part = this.#parts.get(name);
      if (!part) continue;
      const step = progress.step(`Stopping ${name}`);
      await part.stop().then(
        () => step.done("stopped"),
        (error: Error) => step.fail(error.message),
      );
    }
    await this.#unlock();
  }

  async #up(name: string, part: Part): Promise<void> {
    const { progress, signal } = this.#options;
    signal.throwIfAborted();
    const step = progress.step(`Starting ${name}`);
    this.#parts.set(name, part);
    try {
      await part.start(signal);
      step.done("ready");
    } catch (error) {
      step.fail();
      throw error;
    }
  }

  /** The ports of this run, and those that stay the same from run to run. */
  async #addresses(): Promise<{ settled: Settled; gatewayPort: number; controlPlanePort: number }> {
    const { state, progress, unsealTokenPeriodSeconds: period } = this.#options;
    let { gatewayPort, controlPlanePort } = this.#options;
    if (gatewayPort === controlPlanePort && gatewayPort !== 0) {
      throw new Failure("usage", `The gateway and the control plane cannot both listen on ${gatewayPort}`);
    }
    await requireFree(gatewayPort, "gateway", "--gateway-port");
    await requireFree(controlPlanePort, "control plane", "--control-plane-port");
    const kept = await state.settled();
    if (kept && kept.path !== state.path) {
      throw new Failure(
        "config",
        `This state folder was made at ${kept.path}, and its Vaults know it by that path`,
        `Move it back, or begin anew on another folder: --state DIR`,
      );
    }
    if (kept && period && kept.unsealTokenPeriodSeconds !== period) {
      progress.line(
        `Unseal tokens keep the period this folder began with: ${kept.unsealTokenPeriodSeconds} s`,
      );
    }
    const taken = [gatewayPort, controlPlanePort];
    const choose = async (port: number | undefined, ours: boolean): Promise<number> => {
      const chosen = port && (ours || (await isFree(port))) ? port : await freePort(taken);
      taken.push(chosen);
      return chosen;
    };
    const record = await readProcessRecord(state.processFile("internal-vault"));
    const alive = record !== undefined && (await isSame(record, record.marker));
    const settled: Settled = {
      path: state.path,
      internalVaultPort: await choose(kept?.internalVaultPort, alive),
      identityProviderPort: await choose(kept?.identityProviderPort, false),
      unsealTokenPeriodSeconds: kept?.unsealTokenPeriodSeconds ?? period ?? DEFAULT_PERIOD_SECONDS,
    };
    await state.settle(settled);
    gatewayPort ||= await choose(undefined, false);
    controlPlanePort ||= await choose(undefined, false);
    return { settled, gatewayPort, controlPlanePort };
  }

  /** Waits for every ready organization's Vault to serve again, for a minute at most. */
  async #organizations(file: PlatformFile): Promise<void> {
    const { progress, signal } = this.#options;
    const controlPlane = new ControlPlane(file.controlPlane, operatorTokens(file.identityProvider));
    const orgs = (await controlPlane.orgs()).filter(({ state }) => state === "ready");
    if (orgs.length === 0) return;
    const step = progress.step(`Starting the Vaults of ${orgs.length} organizations`);
    let serving = 0;
    const late = await Promise.all(
      orgs.map(async ({ name, claim }) => {
        const served = await whenServed(file, claim, { timeoutMs: ORGS_WITHIN_MS, signal });
        if (served) step.update(`${++serving} of ${orgs.length}`);
        return served ? [] : [name];
      }),
    );
    signal.throwIfAborted();
    if (late.flat().length === 0) return step.done("all unsealed");
    step.fail(`not serving yet: ${late.flat().join(", ")}; see \`strongroom status\``);
  }
}

import { rm } from "node:fs/promises";
import { isServed } from "../../shared/api/org-states.ts";
import { writeJson } from "../../shared/files.ts";
import { LOCAL_ISSUER } from "../../shared/local-provider.ts";
import { KINDS } from "../../shared/work/kinds.ts";
import { compileCache } from "../compile-cache.ts";
import { ControlPlane } from "../control-plane-client.ts";
import { Failure } from "../failure.ts";
import { whenServed } from "../gateway.ts";
import { operatorTokens } from "../session.ts";
import { findVault, VaultNotFoundError } from "../vault-binary/find.ts";
import { type AddressOptions, settleAddresses } from "./addresses.ts";
import { brokerUrl, writeBrokerCertificates } from "./broker-connection.ts";
import { demoProviderOrigin, writeDemoProvider } from "./demo-provider.ts";
import { InternalVault } from "./internal-vault.ts";
import { ensureRecoveryKey } from "./recovery-key.ts";
import { Service, type ServiceSettings } from "./service-process.ts";
import {
  agentSettings,
  controlPlaneSettings,
  demoProviderSettings,
  gatewaySettings,
  identityProviderSettings,
  intakeSettings,
  workerSettings,
  writeSettingFiles,
} from "./service-settings.ts";
import type { PlatformFile, ServiceName } from "./state-folder.ts";
import { endSurvivors, killEverything } from "./survivors.ts";
import { noteVaultVersion } from "./vault-version.ts";

/** Each part stops before the parts that it depends on; the internal Vault, which the others use, stops last. */
const STOP_ORDER = [
  "intake",
  ...KINDS.map((kind) => `worker-${kind}`),
  "demo-provider",
  "gateway",
  "control-plane",
  "agent",
  "identity-provider",
  "internal-vault",
];
const ORGS_WITHIN_MS = 60_000;

export interface PlatformOptions extends AddressOptions {
  /** The environment for the search for a Vault binary. */
  env: Record<string, string | undefined>;
  /** Aborts the start. */
  signal: AbortSignal;
}

interface Part {
  restart?(): Promise<void>;
  start(signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
}

/** The whole platform on this machine, which `strongroom up` starts, supervises and stops. */
export class Platform {
  readonly #options: PlatformOptions;
  readonly #parts = new Map<string, Part>();
  #unlock: (() => void) | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: PlatformOptions) {
    this.#options = options;
  }

  /** Starts everything. If it throws, {@link stop} stops the parts that did start. */
  async start(): Promise<PlatformFile> {
    const { state, progress, signal, env, demo } = this.#options;
    await state.prepare();
    this.#unlock = await state.lock();
    await rm(state.platformFile, { force: true });
    const survivors = await endSurvivors(state);
    if (survivors.length > 0)
      progress.line(`Ended processes left by a killed start: ${survivors.join(", ")}`);
    const { settled, addresses } = await settleAddresses(this.#options);
    await ensureRecoveryKey(state);
    const { demoProviderPort } = demo ? settled : { demoProviderPort: undefined };
    const ports = { demoProviderPort, brokerPort: settled.brokerPort };
    await writeSettingFiles(addresses, state);
    await writeBrokerCertificates(state);
    await writeDemoProvider(state, demoProviderPort);

    const service = (name: ServiceName, settings: ServiceSettings) =>
      this.#up(name, new Service(name, { state, compileCache: compileCache(env) }, settings, progress.line));
    const vaults = async () => {
      const vault = await findVault({ env, progress, signal }).catch((error: unknown) => {
        throw error instanceof VaultNotFoundError ? new Failure("unavailable", error.message) : error;
      });
      await noteVaultVersion(state, vault.version);
      const { path: vaultBinary } = vault;
      const internalVault = new InternalVault({ state, vaultBinary, settled, onEvent: progress.line });
      await this.#up("internal-vault", internalVault);
      return vault;
    };
    const [{ path: vaultBinary, passedOver }] = await all([
      vaults(),
      service("identity-provider", identityProviderSettings(addresses, state)),
    ]);
    await service("control-plane", controlPlaneSettings(addresses, state, settled));
    await all([
      service("agent", agentSettings(state, vaultBinary)),
      service("gateway", gatewaySettings(addresses, state)),
      service("intake", intakeSettings(addresses, state, ports)),
      ...(demoProviderPort === undefined
        ? []
        : [service("demo-provider", demoProviderSettings(state, demoProviderPort))]),
    ]);
    // Last: they load their code while others are used already, and what is for them waits in their queues.
    await all(KINDS.map((kind) => service(`worker-${kind}`, workerSettings(kind, addresses, state, ports))));

    const file: PlatformFile = {
      ...addresses,
      broker: brokerUrl(settled.brokerPort),
      issuer: LOCAL_ISSUER,
      state: state.path,
      vaultBinary,
      vaultsPassedOver: passedOver,
      pid: process.pid,
      ...(demoProviderPort !== undefined && { demoProvider: demoProviderOrigin(demoProviderPort) }),
    };
    await this.#organizations(file);
    await writeJson(state.platformFile, file);
    return file;
  }

  /** Stops one of its services and starts it again. */
  async restart(name: ServiceName): Promise<void> {
    await this.#parts.get(name)?.restart?.();
  }

  /** Stops everything and unlocks the folder. Concurrent calls share one stop. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** Kills everything at once, for a user who will not wait for {@link stop}. */
  async kill(): Promise<void> {
    // A part that was asked to stop is not restarted.
    for (const part of this.#parts.values()) part.stop().catch(() => {});
    await killEverything(this.#options.state);
    this.#unlock?.();
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
    this.#unlock();
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

  /** Waits until every ready organization's Vault serves again, for at most a minute. */
  async #organizations(file: PlatformFile): Promise<void> {
    const { progress, signal } = this.#options;
    const controlPlane = new ControlPlane(file.controlPlane, operatorTokens(file.identityProvider));
    const orgs = (await controlPlane.orgs()).filter(isServed);
    if (orgs.length === 0) return;
    const step = progress.step("Starting organizations' Vaults");
    let serving = 0;
    const late = await Promise.all(
      orgs.map(async ({ name, claim }) => {
        const served = await whenServed(file, claim, { timeoutMs: ORGS_WITHIN_MS, signal });
        if (served) step.update(`${++serving} of ${orgs.length}`);
        return served ? [] : [name];
      }),
    );
    signal.throwIfAborted();
    if (late.flat().length === 0) return step.done(`${orgs.length} unsealed`);
    step.fail(`not serving yet: ${late.flat().join(", ")}; check \`strongroom status\``);
  }
}

/** Like Promise.all, but rejects only once all have settled, so that none continues in the background. */
async function all<T extends unknown[]>(running: { [K in keyof T]: Promise<T[K]> }): Promise<T> {
  await Promise.allSettled(running);
  return (await Promise.all(running)) as T;
}

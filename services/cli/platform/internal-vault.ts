import { rename, rm } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { makeFolder, readText, writeFileAtomic, writeJson } from "../../shared/files.ts";
import { poll } from "../../shared/poll.ts";
import { rotateByRename } from "../../shared/process/log-files.ts";
import { endProcess, readProcessRecord } from "../../shared/process/recorded-process.ts";
import { Supervisor } from "../../shared/process/supervise.ts";
import { Secret } from "../../shared/secret.ts";
import { type VaultClient, VaultUnreachableError, vaultClient } from "../../shared/vault/client.ts";
import { health } from "../../shared/vault/health.ts";
import { initializeShamir, sealStatus, unseal } from "../../shared/vault/init.ts";
import { internalServerConfig } from "../../shared/vault/server-config.ts";
import { Failure } from "../failure.ts";
import { bootstrap, lacksLogins, rootTokenFile } from "./bootstrap.ts";
import { generateRoot } from "./generate-root.ts";
import type { FixedSettings, StateFolder } from "./state-folder.ts";

const START_MS = 30_000;
const STARTS_AT_MOST = 4;
const INIT_TIMEOUT_MS = 60_000;
const LOOK_TIMEOUT_MS = 2_000;
const GRACE_MS = 5_000;
const POLL_MS = 50;
const WATCH_MS = 500;
const AUDIT_CHECK_MS = 60_000;
const AUDIT_LIMITS = { bytes: 20 * 1024 * 1024, keep: 5 };

export interface InternalVaultOptions {
  state: StateFolder;
  vaultBinary: string;
  settled: Pick<FixedSettings, "internalVaultPort" | "unsealTokenPeriodSeconds">;
  /** Called with each event to report, one line each. */
  onEvent(text: string): void;
}

/**
 * The internal Vault as a process of this machine: started, initialized and bootstrapped if it is new, and
 * unsealed after every start. The root token is in a file only during the bootstrap, so that an interrupted one
 * can resume.
 */
export class InternalVault {
  readonly address: string;
  readonly #options: InternalVaultOptions;
  readonly #supervisor: Supervisor;
  /** For calls without a token; `#open` waits as long as initializing takes. */
  readonly #open: VaultClient;
  readonly #look: VaultClient;
  #watching = new AbortController();
  #watch: Promise<void> = Promise.resolve();

  constructor(options: InternalVaultOptions) {
    const { state, vaultBinary, settled } = options;
    const config = state.at("internal-vault", "vault.json");
    this.#options = options;
    this.address = `http://127.0.0.1:${settled.internalVaultPort}`;
    this.#open = vaultClient({ address: this.address }, undefined, INIT_TIMEOUT_MS);
    this.#look = vaultClient({ address: this.address }, undefined, LOOK_TIMEOUT_MS);
    this.#supervisor = new Supervisor({
      prepare: async () => ({
        command: vaultBinary,
        args: ["server", `-config=${config}`],
        environment: { PATH: "/usr/bin:/bin", HOME: state.at("internal-vault") },
        folder: state.at("internal-vault"),
      }),
      marker: config,
      recordFile: state.processFile("internal-vault"),
      logFile: state.logFile("internal-vault"),
      graceMs: GRACE_MS,
      // Vault prints start errors as plain text; its log lines are JSON.
      explain: (log) => /^Error.*$/m.exec(log)?.[0],
      onChange: (now) => {
        if (now.state === "backoff") options.onEvent(`internal Vault: ${now.reason}; restarting`);
      },
    });
  }

  /** Starts it, unsealed and bootstrapped. Failure `unavailable` if it does not come up. */
  async start(signal: AbortSignal): Promise<void> {
    const { state, settled } = this.#options;
    const dir = state.at("internal-vault");
    await writeJson(
      state.at("internal-vault", "vault.json"),
      internalServerConfig({ dir, listen: `127.0.0.1:${settled.internalVaultPort}` }),
    );
    if (!(await readText(this.#unsealKeyFile))) await this.#setAsideKeyless();
    await makeFolder(state.at("internal-vault", "raft"));
    this.#supervisor.start();
    await this.#answering(signal);
    if (!(await sealStatus(this.#look)).initialized) await this.#initialize();
    await this.#unseal();
    await this.#active(signal);
    if (await lacksLogins(state)) await this.#obtainRootToken();
    await bootstrap(state, this.address, settled.unsealTokenPeriodSeconds);
    this.#watch = this.#keepUnsealed();
  }

  async stop(): Promise<void> {
    this.#watching.abort();
    await this.#watch;
    await this.#supervisor.stop();
  }

  get #unsealKeyFile() {
    return this.#options.state.at("internal-vault", "unseal-key");
  }

  /**
   * A crash during the first initialization leaves storage without an unseal key, which nobody can unseal. It is
   * moved aside, not deleted, unless organizations depend on it.
   */
  async #setAsideKeyless(): Promise<void> {
    const { state } = this.#options;
    if (await readText(state.at("control-plane", "role-id"))) {
      throw new Failure(
        "failure",
        `${this.#unsealKeyFile} is missing, and no Vault of this platform can be unsealed without it`,
        "Restore it from a backup, or start over with another folder: --state DIR",
      );
    }
    const survivor = await readProcessRecord(state.processFile("internal-vault"));
    if (survivor) await endProcess(survivor, { graceMs: GRACE_MS });
    const raft = state.at("internal-vault", "raft");
    await rename(raft, `${raft}.unopenable-${Date.now()}`).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    });
    await rm(rootTokenFile(state), { force: true });
  }

  async #initialize(): Promise<void> {
    const { rootToken, unsealKey } = await initializeShamir(this.#open);
    await writeFileAtomic(rootTokenFile(this.#options.state), rootToken.reveal());
    await writeFileAtomic(this.#unsealKeyFile, unsealKey.reveal());
  }

  /** With a new root token, the bootstrap adds what the version that bootstrapped it did not know. */
  async #obtainRootToken(): Promise<void> {
    const { state } = this.#options;
    const file = rootTokenFile(state);
    if (await readText(file)) return;
    const key = await readText(this.#unsealKeyFile);
    if (!key) return;
    this.#options.onEvent("internal Vault: bootstrapping it again, for credentials");
    await writeFileAtomic(file, (await generateRoot(this.#open, new Secret(key.trim()))).reveal());
  }

  async #unseal(): Promise<void> {
    const { sealed } = await sealStatus(this.#look);
    if (!sealed) return;
    const key = await readText(this.#unsealKeyFile);
    if (key) await unseal(this.#open, new Secret(key.trim()));
  }

  async #answering(signal: AbortSignal): Promise<void> {
    await this.#until("answer", signal, async () => {
      await sealStatus(this.#look);
      return true;
    });
  }

  async #active(signal: AbortSignal): Promise<void> {
    await this.#until("become active", signal, async () => (await health(this.#look)) === "active");
  }

  async #until(what: string, signal: AbortSignal, check: () => Promise<boolean>): Promise<void> {
    const done = async () => {
      if (await check().catch(ifUnreachable(false))) return true;
      const { reason, starts } = this.#supervisor.state;
      return reason && starts >= STARTS_AT_MOST ? false : undefined;
    };
    if (await poll(done, { everyMs: POLL_MS, withinMs: START_MS, signal })) return;
    const { reason } = this.#supervisor.state;
    throw new Failure(
      "unavailable",
      `The internal Vault did not ${what}${reason ? `: ${reason}` : ` within ${START_MS / 1000} s`}`,
      `Read its log: ${this.#options.state.logFile("internal-vault")}`,
    );
  }

  /** A restarted Vault is sealed; only this process, which has the key, unseals it. */
  async #keepUnsealed(): Promise<void> {
    const { signal } = this.#watching;
    let auditChecked = performance.now();
    while (!signal.aborted) {
      await sleep(WATCH_MS, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      try {
        if ((await sealStatus(this.#look)).sealed) {
          await this.#unseal();
          this.#options.onEvent("internal Vault: unsealed again");
        }
        if (performance.now() - auditChecked > AUDIT_CHECK_MS) {
          auditChecked = performance.now();
          const audit = this.#options.state.at("internal-vault", "audit.log");
          if (await rotateByRename(audit, AUDIT_LIMITS)) await this.#supervisor.signal("SIGHUP");
        }
      } catch (error) {
        if (!(error instanceof VaultUnreachableError)) {
          this.#options.onEvent(`internal Vault: ${error instanceof Error ? error.message : String(error)}`);
        }
      }
    }
  }
}

const ifUnreachable =
  <T>(otherwise: T) =>
  (error: unknown): T => {
    if (error instanceof VaultUnreachableError) return otherwise;
    throw error;
  };

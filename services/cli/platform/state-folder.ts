import { stat, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { makeFolder, readJson, readText, writeFileAtomic, writeJson } from "../../shared/files.ts";
import { Failure } from "../failure.ts";

const Url = Type.String({ pattern: "^http://[a-z0-9.-]+:[0-9]+$" });

/** Where the parts of a platform listen, without a path. */
export const Addresses = Type.Object({
  gateway: Url,
  controlPlane: Url,
  identityProvider: Url,
  internalVault: Url,
});
export type Addresses = Static<typeof Addresses>;

/** A running platform, as `platform.json` says it; there only while all of it is up. */
export const PlatformFile = Type.Object({
  ...Addresses.properties,
  issuer: Type.String(),
  state: Type.String(),
  vaultBinary: Type.String(),
  /** What would have come before that binary, and why it was not taken. */
  vaultsPassedOver: Type.Optional(Type.Array(Type.String())),
  /** Of `strongroom up`; absent where containers run the parts. */
  pid: Type.Optional(Type.Integer()),
});
export type PlatformFile = Static<typeof PlatformFile>;

/** What was settled when the folder was new: others have written it down, so it stays from start to start. */
export const FixedSettings = Type.Object({
  /** Where the folder was: audit devices hold absolute paths. */
  path: Type.String(),
  internalVaultPort: Type.Integer(),
  identityProviderPort: Type.Integer(),
  unsealTokenPeriodSeconds: Type.Integer(),
});
export type FixedSettings = Static<typeof FixedSettings>;

/** What `strongroom up` runs beside the internal Vault, in the order in which they start. */
export const SERVICES = ["identity-provider", "control-plane", "agent", "gateway"] as const;
export type ServiceName = (typeof SERVICES)[number];

/** The folder that holds everything of one platform; nothing of it lies anywhere else. */
export class StateFolder {
  /** Absolute. */
  readonly path: string;

  constructor(path: string) {
    this.path = resolve(path);
  }

  at(...names: string[]): string {
    return join(this.path, ...names);
  }

  get platformFile() {
    return this.at("platform.json");
  }
  /** The private key by which the operator of this machine signs in at the internal Vault. */
  get operatorKey() {
    return this.at("operator-key.pem");
  }
  /** Which internal Vault this is. */
  get internalClusterId() {
    return this.at("control-plane", "internal-cluster-id");
  }
  /** The platform's own PGP key: what organizations' recovery keys are encrypted to by default. */
  get recoveryKey() {
    return this.at("recovery-key.asc");
  }
  get recoveryPublicKey() {
    return this.at("control-plane", "recovery-key.pub.asc");
  }
  get instances() {
    return this.at("instances");
  }
  /** A service's settings; the path on its command line tells it from any other process. */
  envFile(name: string) {
    return this.at("run", `${name}.env`);
  }
  addressFile(name: string) {
    return this.at("run", `${name}.address`);
  }
  processFile(name: string) {
    return this.at("run", `${name}.process.json`);
  }
  logFile(name: string) {
    return this.at("logs", `${name}.log`);
  }

  /** Makes the folders. Failure `config` where others may read what is there already. */
  async prepare(): Promise<void> {
    const folders = [
      ".",
      "run",
      "logs",
      "internal-vault",
      "control-plane",
      "identity-provider",
      "parameters",
    ];
    for (const name of [...folders, "instances", "gateway"]) await makeFolder(this.at(name));
    const { mode } = await stat(this.path);
    if ((mode & 0o077) !== 0) {
      throw new Failure("config", `Others may look into ${this.path}`, `Close it: chmod 700 ${this.path}`);
    }
  }

  /** Where the platform is, or undefined while it is not all up. */
  async platform(): Promise<PlatformFile | undefined> {
    const file = await readJson(this.platformFile);
    return Value.Check(PlatformFile, file) ? file : undefined;
  }

  /** What was settled, or undefined where the folder is new. */
  async settled(): Promise<FixedSettings | undefined> {
    const file = await readJson(this.at("settled.json"));
    return Value.Check(FixedSettings, file) ? file : undefined;
  }

  async settle(settled: FixedSettings): Promise<void> {
    await writeJson(this.at("settled.json"), settled);
  }

  /**
   * Takes the folder for this process alone, until the function that it gives is called. Failure `conflict`
   * where another `strongroom up` has it. The lock is SQLite's, which is the operating system's: it ends with
   * the process that holds it, however that ends.
   */
  async lock(): Promise<() => void> {
    const file = this.at("run", "lock");
    const holder = this.at("run", "lock.pid");
    // Made here for its mode.
    await writeFile(file, "", { flag: "a", mode: 0o600 });
    const lock = new DatabaseSync(file);
    try {
      lock.exec("PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE");
    } catch (error) {
      lock.close();
      if ((error as { errcode?: number }).errcode !== SQLITE_BUSY) throw error;
      const pid = (await readText(holder))?.trim() ?? "unknown";
      throw new Failure(
        "conflict",
        `A platform already runs on ${this.path} (pid ${pid})`,
        `Use it (strongroom status), stop it (kill ${pid}), or start another with --state DIR --gateway-port 0 --control-plane-port 0`,
      );
    }
    await writeFileAtomic(holder, String(process.pid));
    return () => lock.close();
  }
}

const SQLITE_BUSY = 5;

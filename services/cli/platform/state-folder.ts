import { stat, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { makeFolder, readJson, readText, writeFileAtomic, writeJson } from "../../shared/files.ts";
import { KINDS, type Kind } from "../../shared/work/kinds.ts";
import { Failure } from "../failure.ts";

const Url = Type.String({ pattern: "^http://[a-z0-9.-]+:[0-9]+$" });

/** The addresses of a platform's parts, without a path. */
export const Addresses = Type.Object({
  gateway: Url,
  controlPlane: Url,
  identityProvider: Url,
  internalVault: Url,
  intake: Url,
});
export type Addresses = Static<typeof Addresses>;

/** A running platform: the content of `platform.json`, which exists only while everything is up. */
export const PlatformFile = Type.Object({
  ...Addresses.properties,
  issuer: Type.String(),
  state: Type.String(),
  /** The broker's address; absent if the parts run in containers, where only the intake reaches it. */
  broker: Type.Optional(Type.String()),
  /** The origin of the demo's provider, if it runs. */
  demoProvider: Type.Optional(Type.String()),
  vaultBinary: Type.String(),
  /** The Vaults that were preferred to that binary but not used, and why. */
  vaultsPassedOver: Type.Optional(Type.Array(Type.String())),
  /** The process of `strongroom up`; absent if the parts run in containers. */
  pid: Type.Optional(Type.Integer()),
});
export type PlatformFile = Static<typeof PlatformFile>;

/** Settings fixed when the folder is created: Vaults and tokens refer to them, so they stay across starts. */
export const FixedSettings = Type.Object({
  /** The folder's path at its creation: audit devices have absolute paths. */
  path: Type.String(),
  internalVaultPort: Type.Integer(),
  identityProviderPort: Type.Integer(),
  /** The demo's provider; absent if there was none yet. */
  demoProviderPort: Type.Optional(Type.Integer()),
  /** Absent in a folder of an earlier version. */
  brokerPort: Type.Optional(Type.Integer()),
  unsealTokenPeriodSeconds: Type.Integer(),
});
export type FixedSettings = Static<typeof FixedSettings>;

const WORKERS = KINDS.map((kind) => `worker-${kind}` as const);
/** The services that `strongroom up` runs beside the internal Vault, in order of their start. */
export const SERVICES = [
  "identity-provider",
  "control-plane",
  "agent",
  "gateway",
  "intake",
  ...WORKERS,
  "demo-provider",
] as const;
export type ServiceName = (typeof SERVICES)[number];

/** The folder that contains all state of one platform. */
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
  /** The private key with which this machine's operator logs in to the internal Vault. */
  get operatorKey() {
    return this.at("operator-key.pem");
  }
  /** The cluster ID of the internal Vault. */
  get internalClusterId() {
    return this.at("control-plane", "internal-cluster-id");
  }
  /** The platform's own PGP key, to which organizations' recovery keys are encrypted by default. */
  get recoveryKey() {
    return this.at("recovery-key.asc");
  }
  get recoveryPublicKey() {
    return this.at("control-plane", "recovery-key.pub.asc");
  }
  get instances() {
    return this.at("instances");
  }
  /** The queues between the intake and the workers of a kind. */
  queues(kind: Kind) {
    return this.at("queues", kind);
  }
  /** A service's settings; this path on its command line identifies its process. */
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

  /** Creates the folders. Failure `config` if other users can read an existing state folder. */
  async prepare(): Promise<void> {
    const folders = [
      ".",
      "run",
      "logs",
      "internal-vault",
      "control-plane",
      "identity-provider",
      "parameters",
      "instances",
      "gateway",
      "intake",
      ...WORKERS,
      "worker-broker/published",
    ];
    for (const name of folders) await makeFolder(this.at(name));
    for (const kind of KINDS) await makeFolder(this.queues(kind));
    const { mode } = await stat(this.path);
    if ((mode & 0o077) !== 0) {
      throw new Failure("config", `Other users can read ${this.path}`, `Restrict it: chmod 700 ${this.path}`);
    }
  }

  /** The running platform, or undefined unless all of it is up. */
  async platform(): Promise<PlatformFile | undefined> {
    const file = await readJson(this.platformFile);
    return Value.Check(PlatformFile, file) ? file : undefined;
  }

  /** The fixed settings, or undefined if the folder is new. */
  async settled(): Promise<FixedSettings | undefined> {
    const file = await readJson(this.at("settled.json"));
    return Value.Check(FixedSettings, file) ? file : undefined;
  }

  async settle(settled: FixedSettings): Promise<void> {
    await writeJson(this.at("settled.json"), settled);
  }

  /**
   * Locks the folder for this process until the returned function is called. Failure `conflict` if another
   * `strongroom up` holds the lock. It is SQLite's lock, so the operating system releases it when the process
   * ends, for whatever reason.
   */
  async lock(): Promise<() => void> {
    const file = this.at("run", "lock");
    const holder = this.at("run", "lock.pid");
    // Created here to set its mode.
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
        `A platform is already running with the state folder ${this.path} (pid ${pid})`,
        `Use it (strongroom status), stop it (kill ${pid}), or start another with --state DIR --gateway-port 0 --control-plane-port 0 --intake-port 0`,
      );
    }
    await writeFileAtomic(holder, String(process.pid));
    return () => lock.close();
  }
}

const SQLITE_BUSY = 5;

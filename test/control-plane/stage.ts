import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { compactVerify, importSPKI } from "jose";
import { generateKey } from "openpgp";
import type { JobRecord, OrgRecord } from "../../services/control-plane/registry/records.ts";
import { createRegistry, type Registry } from "../../services/control-plane/registry/registry.ts";
import type { Job } from "../../services/shared/api/jobs.ts";
import type { OrgView } from "../../services/shared/api/orgs.ts";
import { DIRECTORY_TYP, type Directory } from "../../services/shared/front/published/directory.ts";
import { GROUPS_CLAIM, OPERATOR_AUDIENCE } from "../../services/shared/local-provider.ts";
import { orgServerName } from "../../services/shared/org.ts";
import { localParameterStore } from "../../services/shared/parameters/local.ts";
import { Secret } from "../../services/shared/secret.ts";
import {
  ifFound,
  type VaultClient,
  type VaultEndpoint,
  vaultClient,
} from "../../services/shared/vault/client.ts";
import { kv2 } from "../../services/shared/vault/kv.ts";
import { orgCertificateSerials } from "../../services/shared/vault/pki.ts";
import { loginWithJwt } from "../../services/shared/vault/platform-jwt.ts";
import { unsealKeyName } from "../../services/shared/vault/transit.ts";
import { startIssuer, type TestIssuer } from "../harness/tokens.ts";
import { type InternalVault, startInternalVault } from "../harness/vault.ts";

export const ALL_PERMISSIONS = [
  "orgs:create",
  "orgs:read",
  "orgs:delete",
  "orgs:revoke",
  "orgs:machine-tokens",
  "orgs:reassign",
  "audit:read",
];

/** What goes wrong at which failpoint of the next control plane; see main-with-fault.ts. */
export type Faults = Record<string, "kill" | "throw" | "hold">;

export interface StageOptions {
  vaultBinary: string;
  unsealTokenPeriodSeconds?: number;
  /** Over the control plane's settings. */
  settings?: Record<string, string>;
}

/** The platform without its gateway: real internal Vault, real agent, real control plane, each a process. */
export class Stage {
  readonly folder: string;
  readonly internal: InternalVault;
  readonly issuer: TestIssuer;
  readonly registry: Registry;
  readonly #options: StageOptions;
  #agent: ChildProcess | undefined;
  #controlPlane: ChildProcess | undefined;
  address = "";

  private constructor(folder: string, internal: InternalVault, issuer: TestIssuer, options: StageOptions) {
    this.folder = folder;
    this.internal = internal;
    this.issuer = issuer;
    this.#options = options;
    this.registry = createRegistry(kv2(internal.root, "registry"));
  }

  static async open(options: StageOptions): Promise<Stage> {
    const folder = await mkdtemp(join(tmpdir(), "strongroom-stage-"));
    const { unsealTokenPeriodSeconds } = options;
    const internal = await startInternalVault(options.vaultBinary, {
      ...(unsealTokenPeriodSeconds && { unsealTokenPeriodSeconds }),
    });
    const stage = new Stage(folder, internal, await startIssuer(), options);
    const { publicKey } = await generateKey({
      type: "ecc",
      curve: "nistP256",
      userIDs: [{ name: "platform" }],
    });
    await mkdir(stage.instances);
    await writeFile(join(folder, "role-id"), internal.roleId.reveal(), { mode: 0o600 });
    await writeFile(join(folder, "secret-id"), internal.secretId.reveal(), { mode: 0o600 });
    await writeFile(join(folder, "ca.pem"), internal.ca);
    await writeFile(join(folder, "recovery-key.pub.asc"), publicKey);
    await writeFile(join(folder, "issuers.json"), JSON.stringify([stage.issuer.issuer]));
    return stage;
  }

  get instances(): string {
    return join(this.folder, "instances");
  }

  /** The control plane's settings. */
  get settings(): Record<string, string> {
    return {
      STRONGROOM_LISTEN: "127.0.0.1:0",
      STRONGROOM_ADDRESS_FILE: join(this.folder, "address"),
      STRONGROOM_INTERNAL_VAULT_ADDR: this.internal.endpoint.address,
      STRONGROOM_ROLE_ID_FILE: join(this.folder, "role-id"),
      STRONGROOM_SECRET_ID_FILE: join(this.folder, "secret-id"),
      STRONGROOM_CA_FILE: join(this.folder, "ca.pem"),
      STRONGROOM_PARAMETERS: `local:${join(this.folder, "parameters")}`,
      STRONGROOM_INSTANCES_DIR: this.instances,
      STRONGROOM_ISSUERS_FILE: join(this.folder, "issuers.json"),
      STRONGROOM_OPERATOR_AUDIENCE: OPERATOR_AUDIENCE,
      STRONGROOM_RECOVERY_KEY_FILE: join(this.folder, "recovery-key.pub.asc"),
      STRONGROOM_RECONCILE_SECONDS: "1",
      ...this.#options.settings,
    };
  }

  startAgent(): void {
    this.#agent = this.#spawn("agent", "services/agent/main.ts", {
      STRONGROOM_INSTANCES_DIR: this.instances,
      STRONGROOM_VAULT_BIN: this.#options.vaultBinary,
      STRONGROOM_PARAMETERS: `local:${join(this.folder, "parameters")}`,
      STRONGROOM_LOW_DISK_BYTES: "0",
    });
  }

  /** Starts the control plane and waits until it is ready (without faults) or listens (with them). */
  async startControlPlane(faults?: Faults, settings: Record<string, string> = {}): Promise<void> {
    await rm(join(this.folder, "address"), { force: true });
    const main = faults ? "test/control-plane/main-with-fault.ts" : "services/control-plane/main.ts";
    this.#controlPlane = this.#spawn("control-plane", main, {
      ...this.settings,
      ...settings,
      ...(faults && {
        FAULTS: Object.entries(faults)
          .map((each) => each.join("="))
          .join(),
      }),
    });
    const child = this.#controlPlane;
    this.address = await eventually("the control plane listens", async () => {
      if (child.exitCode !== null) throw new Error(`it ended:\n${this.log("control-plane")}`);
      return readFile(join(this.folder, "address"), "utf8").catch(() => undefined);
    });
    if (!faults) await this.whenReady();
  }

  /** Ends the control plane and starts it with other settings; it listens then, and may never be ready. */
  async startControlPlaneAnew(settings: Record<string, string>): Promise<void> {
    await this.stopControlPlane();
    await this.startControlPlane({}, settings);
  }

  async whenReady(): Promise<void> {
    await eventually("the control plane is ready", async () => {
      const answer = await fetch(`${this.address}/v1/ready`).catch(() => undefined);
      return answer?.ok || undefined;
    });
  }

  /** Waits until the control plane has ended by its own. */
  async whenControlPlaneEnded(): Promise<void> {
    const child = this.#controlPlane;
    if (child && child.exitCode === null && child.signalCode === null) await once(child, "exit");
  }

  async stopControlPlane(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    return endProcess(this.#controlPlane, signal);
  }

  async stopAgent(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    await endProcess(this.#agent, signal);
  }

  token(permissions: string[] = ALL_PERMISSIONS, sub = "operator|grace"): string {
    return this.issuer.token({ aud: OPERATOR_AUDIENCE, org_id: undefined, sub, permissions });
  }

  /** A request with all permissions, unless told otherwise; `token: ""` sends none. */
  async request(
    method: string,
    path: string,
    {
      token = this.token(),
      body,
      headers = {},
    }: { token?: string; body?: unknown; headers?: Record<string, string> } = {},
  ): Promise<Response> {
    return fetch(`${this.address}${path}`, {
      method,
      headers: {
        ...(token && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { "Content-Type": "application/json" }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
  }

  async json<T>(method: string, path: string, options: Parameters<Stage["request"]>[2] = {}): Promise<T> {
    const response = await this.request(method, path, options);
    const body = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${body}`);
    return JSON.parse(body) as T;
  }

  create(name: string, claim = `org_${name}`): Promise<Job> {
    return this.json<Job>("POST", "/v1/orgs", { body: { name, claim } });
  }

  org(id: string): Promise<OrgView> {
    return this.json<OrgView>("GET", `/v1/orgs/${id}`);
  }

  job(id: string): Promise<Job> {
    return this.json<Job>("GET", `/v1/jobs/${id}`);
  }

  /** Waits until a job has ended, and gives it. */
  ended(id: string): Promise<Job> {
    return eventually(`job ${id} ends`, async () => {
      const job = await this.job(id).catch(() => undefined);
      return job?.endedAt ? job : undefined;
    });
  }

  /** Onboards an organization, which must succeed. */
  async onboard(name: string, claim?: string): Promise<OrgView> {
    const job = await this.ended((await this.create(name, claim)).id);
    if (job.state !== "succeeded")
      throw new Error(`${name}: ${JSON.stringify(job.error)}\n${this.log("control-plane")}`);
    return this.org(job.org);
  }

  /** What the registry itself holds, with nothing left out. */
  async record(id: string): Promise<OrgRecord> {
    const found = await this.registry.orgs.read(id);
    if (!found) throw new Error(`${id}: no record`);
    return found.value;
  }

  async jobRecord(id: string): Promise<JobRecord> {
    const found = await this.registry.jobs.read(id);
    if (!found) throw new Error(`${id}: no record`);
    return found.value;
  }

  /** Pids of the organizations' Vaults of this stage, or of one. */
  vaults(org = ""): Promise<number[]> {
    return processesWith(`-config=${join(this.instances, org)}/`);
  }

  /** The organization's Vault, with the token. */
  async vault(org: string, token?: Secret): Promise<VaultClient> {
    return vaultClient(await this.endpoint(org), token && (() => token));
  }

  async endpoint(org: string): Promise<VaultEndpoint> {
    const { listen } = await this.record(org);
    return { address: `https://${listen}`, ca: this.internal.ca, serverName: orgServerName(org) };
  }

  /** The organization's Vault as one of its people sees it. */
  async member(org: OrgView, level: "reader" | "writer" = "reader"): Promise<VaultClient> {
    const jwt = this.issuer.token({ org_id: org.claim, [GROUPS_CLAIM]: [level] });
    const { token } = await loginWithJwt(await this.endpoint(org.id), "jwt", level, new Secret(jwt));
    return this.vault(org.id, token);
  }

  async writeSecret(org: OrgView, value: string): Promise<void> {
    await (await this.member(org, "writer")).write("secret/data/app/db", { data: { value } });
  }

  async readSecret(org: OrgView): Promise<string> {
    const { data } = (await (await this.member(org)).read("secret/data/app/db")) as {
      data: { data: { value: string } };
    };
    return data.data.value;
  }

  /** Accessors of the live unseal tokens of an organization, as the internal Vault has them. */
  async unsealTokens(org: string): Promise<string[]> {
    const { root } = this.internal;
    const { data } = (await root.list("auth/token/accessors")) as { data: { keys: string[] } };
    const found: string[] = [];
    for (const accessor of data.keys) {
      const token = await root.write("auth/token/lookup-accessor", { accessor }).catch(() => undefined);
      const { entity_id: entity } = (token?.data ?? {}) as { entity_id?: string };
      if (!entity) continue;
      // Vault refuses a token whose entity is gone, and yet lists it.
      const body = await ifFound(root.read(`identity/entity/id/${entity}`));
      const { aliases = [] } = (body?.data ?? {}) as { aliases?: { name: string }[] };
      if (aliases.some(({ name }) => name === unsealKeyName(org))) found.push(accessor);
    }
    return found;
  }

  /** Serials of the certificates of an organization that are not revoked, as the internal Vault has them. */
  async certificates(org: string): Promise<string[]> {
    return orgCertificateSerials(this.internal.root, org);
  }

  /** Names of the parameters of an organization. */
  async parameters(org: string): Promise<string[]> {
    return localParameterStore(join(this.folder, "parameters")).list(`/strongroom/orgs/${org}/`);
  }

  /** The directory as the control plane gives it, verified by the key that gateways are given. */
  async directory(): Promise<Directory> {
    const jws = await (await this.request("GET", "/v1/directory", { token: "" })).text();
    const key = await importSPKI(this.internal.directoryKey, "ES256");
    const { payload, protectedHeader } = await compactVerify(jws, key, { algorithms: ["ES256"] });
    if (protectedHeader.typ !== DIRECTORY_TYP) throw new Error(`typ is ${protectedHeader.typ}`);
    return JSON.parse(new TextDecoder().decode(payload)) as Directory;
  }

  log(name: "agent" | "control-plane"): string {
    return readFileSync(join(this.folder, `${name}.log`), "utf8");
  }

  /** Ends everything; fails where a Vault is left over. */
  async close(): Promise<void> {
    await this.stopControlPlane();
    await this.stopAgent();
    const left = await this.vaults();
    for (const pid of left) process.kill(pid, "SIGKILL");
    await this.issuer.close();
    await this.internal.stop();
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
    if (left.length > 0) throw new Error(`${left.length} Vaults were left behind`);
  }

  #spawn(name: string, main: string, env: Record<string, string>): ChildProcess {
    const log = createWriteStream(join(this.folder, `${name}.log`), { flags: "a" });
    const child = spawn(process.execPath, [resolve(main)], {
      env: { PATH: "/usr/bin:/bin", HOME: this.folder, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    child.stdout?.pipe(log, { end: false });
    child.stderr?.pipe(log, { end: false });
    return child;
  }
}

async function endProcess(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<number | null> {
  if (!child) return null;
  if (child.exitCode === null && child.signalCode === null) {
    const exit = once(child, "exit");
    child.kill(signal);
    const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
    await exit;
    clearTimeout(timer);
  }
  return child.exitCode;
}

/** Asks until there is an answer; fails after `timeoutMs`. */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined>,
  timeoutMs = 60_000,
): Promise<T> {
  for (const end = Date.now() + timeoutMs; ; await sleep(50)) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > end) throw new Error(`waited too long until ${what}`);
  }
}

async function processesWith(argument: string): Promise<number[]> {
  const pids: number[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^[0-9]+$/.test(name)) continue;
    const line = await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "");
    if (line.split("\0").some((each) => each.startsWith(argument))) pids.push(Number(name));
  }
  return pids;
}

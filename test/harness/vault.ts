import { type ChildProcess, spawn } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { closeSync, openSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { generateKey, readKey } from "openpgp";
import {
  bootstrapInternalVault,
  type InternalVaultIdentity,
} from "../../services/cli/platform/bootstrap-internal-vault.ts";
import {
  loginWithCertificate,
  makeClientCertificate,
} from "../../services/cli/platform/client-certificate.ts";
import { loginAsOperator } from "../../services/cli/platform/operator-login.ts";
import { newOrgId, orgServerName } from "../../services/shared/org.ts";
import { Secret } from "../../services/shared/secret.ts";
import { appRoleLogin } from "../../services/shared/vault/approle.ts";
import { type VaultClient, type VaultEndpoint, vaultClient } from "../../services/shared/vault/client.ts";
import { health } from "../../services/shared/vault/health.ts";
import { initialize, initializeShamir, sealStatus, unseal } from "../../services/shared/vault/init.ts";
import { configureOrgVault, type OrgVaultSettings } from "../../services/shared/vault/org-vault.ts";
import { issueOrgCertificate } from "../../services/shared/vault/pki.ts";
import { readPlatformTrust } from "../../services/shared/vault/platform-trust.ts";
import {
  internalServerConfig,
  orgServerConfig,
  raftStorage,
  type ServerPlace,
} from "../../services/shared/vault/server-config.ts";
import { mintUnsealToken } from "../../services/shared/vault/tokens.ts";
import { createUnsealKey } from "../../services/shared/vault/transit.ts";
import { publicPem, type TestIssuer } from "./tokens.ts";

const START_MS = 30_000;
const STOP_MS = 10_000;
const INIT_MS = 60_000;

/** A Vault server in a folder of its own. */
export interface VaultServer {
  pid: number;
  signal(signal: NodeJS.Signals): void;
  /** Ends the process, by SIGTERM unless told otherwise; the folder stays. */
  end(signal?: NodeJS.Signals): Promise<void>;
}

/**
 * Starts a Vault server on the settings, with a clean environment, and waits until it answers. Throws an
 * error with its log where it ends before that.
 */
export async function startVaultServer(
  binary: string,
  dir: string,
  config: Record<string, unknown>,
  endpoint: VaultEndpoint,
  environment: Record<string, string> = {},
): Promise<VaultServer> {
  await mkdir(join(dir, "raft"), { recursive: true, mode: 0o700 });
  const file = join(dir, "vault.json");
  await writeFile(file, JSON.stringify(config).replaceAll("{dir}", dir));
  const logFile = join(dir, "vault.log");
  const output = openSync(logFile, "a", 0o600);
  const child = spawn(binary, ["server", `-config=${file}`], {
    cwd: dir,
    env: { PATH: "/usr/bin:/bin", HOME: dir, ...environment },
    stdio: ["ignore", output, output],
  });
  closeSync(output);
  const log = () => readFileSync(logFile, "utf8");
  const ended = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
  const client = vaultClient(endpoint, undefined, 2_000);
  for (const deadline = Date.now() + START_MS; ; await sleep(20)) {
    if (child.exitCode !== null || child.pid === undefined)
      throw new Error(`Vault ended at start:\n${log()}`);
    const answer = await sealStatus(client).catch(() => undefined);
    if (answer) break;
    if (Date.now() > deadline) {
      child.kill("SIGKILL");
      throw new Error(`Vault did not answer in ${START_MS} ms:\n${log()}`);
    }
  }
  return {
    pid: child.pid,
    signal: (signal) => void child.kill(signal),
    end: (signal = "SIGTERM") => end(child, ended, signal),
  };
}

async function end(child: ChildProcess, ended: Promise<void>, signal: NodeJS.Signals): Promise<void> {
  child.kill(signal);
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await ended;
  clearTimeout(timer);
}

/** On this machine, with raft in the server's own folder. */
export const localPlace = (org: string, listen: string): ServerPlace => ({
  listen,
  storage: raftStorage("{dir}/raft", org),
  mlock: false,
});

/** `127.0.0.1:<port>` whose next port is free too, as raft needs it. */
export async function freeListen(): Promise<string> {
  for (;;) {
    const port = 20_000 + (randomBytes(2).readUInt16BE() % 12_000);
    if ((await isFree(port)) && (await isFree(port + 1))) return `127.0.0.1:${port}`;
  }
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = createServer()
      .once("error", () => resolve(false))
      .listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });

/** A Vault on plain HTTP with nothing in it, unsealed, its root token alive. */
export interface EmptyVault {
  dir: string;
  endpoint: VaultEndpoint;
  root: VaultClient;
  rootToken: Secret;
  /** The process that runs now. */
  pid(): number;
  signal(signal: NodeJS.Signals): void;
  /** Ends the process; the folder stays. */
  down(): Promise<void>;
  /** Starts it again, at the same address, and unseals it. */
  up(): Promise<void>;
  /** Ends the process and removes its folder. */
  stop(): Promise<void>;
}

export async function startEmptyVault(binary: string): Promise<EmptyVault> {
  const dir = await mkdtemp(join(tmpdir(), "strongroom-internal-"));
  const listen = await freeListen();
  const endpoint = { address: `http://${listen}` };
  let server: VaultServer | undefined;
  const stop = async () => {
    await server?.end();
    await rm(dir, { recursive: true });
  };
  try {
    const config = internalServerConfig({ dir, listen });
    let started = await startVaultServer(binary, dir, config, endpoint);
    server = started;
    const open = vaultClient(endpoint, undefined, INIT_MS);
    const { rootToken, unsealKey } = await initializeShamir(open);
    const activate = async () => {
      await unseal(open, unsealKey);
      await whenActive(open);
    };
    await activate();
    return {
      ...{ dir, endpoint, root: vaultClient(endpoint, () => rootToken), rootToken, stop },
      pid: () => started.pid,
      signal: (signal) => started.signal(signal),
      down: () => started.end(),
      async up() {
        started = await startVaultServer(binary, dir, config, endpoint);
        server = started;
        await activate();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The platform's internal Vault, bootstrapped, its root token still alive. */
export interface InternalVault extends EmptyVault, InternalVaultIdentity {
  binary: string;
  /** The control plane's own login. */
  controlPlane: VaultClient;
  /** The operator's private key, PEM. */
  operatorKey: Secret;
  /** Signs in as the operator. */
  operator(): Promise<VaultClient>;
  /** Logs in at an organization's Vault as an operator who has just signed in. */
  maintain(vault: { org: string; endpoint: VaultEndpoint }): Promise<VaultClient>;
}

/** A key to sign in as the operator by. */
export function newOperatorKey(): { key: Secret; publicKey: string } {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    key: new Secret(privateKey.export({ type: "pkcs8", format: "pem" }).toString()),
    publicKey: publicKey.export({ type: "spki", format: "pem" }).toString(),
  };
}

export interface InternalVaultSettings {
  unsealTokenPeriodSeconds?: number;
}

export async function startInternalVault(
  binary: string,
  settings: InternalVaultSettings = {},
): Promise<InternalVault> {
  const vault = await startEmptyVault(binary);
  const { dir, endpoint, root, stop } = vault;
  try {
    const operatorKey = newOperatorKey();
    const identity = await bootstrapInternalVault(root, {
      certificateMaxTtlSeconds: 30 * 24 * 3600,
      operatorKey: operatorKey.publicKey,
      auditFile: join(dir, "audit.log"),
      ...settings,
    });
    const login = appRoleLogin(endpoint, identity);
    const operator = () => loginAsOperator(endpoint, { ...operatorKey, clusterId: identity.clusterId });
    return {
      ...vault,
      ...identity,
      binary,
      controlPlane: vaultClient(endpoint, login.token),
      operatorKey: operatorKey.key,
      operator,
      maintain: async ({ org, endpoint }) => {
        const certificate = await makeClientCertificate(await operator(), "platform-maintain", org);
        return loginWithCertificate(endpoint, "platform-maintain", certificate);
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Waits until a Vault that answers serves requests. */
export async function whenActive(client: VaultClient): Promise<void> {
  for (const deadline = Date.now() + START_MS; (await health(client)) !== "active"; await sleep(20)) {
    if (Date.now() > deadline) throw new Error("Vault did not become active");
  }
}

/** An organization's Vault: TLS, sealed by the internal Vault's transit, its root token still alive. */
export interface OrgVault {
  org: string;
  dir: string;
  endpoint: VaultEndpoint;
  settings: OrgVaultSettings;
  root: VaultClient;
  rootToken: Secret;
  unsealToken: Secret;
  unsealTokenAccessor: string;
  certificateSerial: string;
  /** Recovery keys, each encrypted to a PGP key. */
  recoveryKeys: string[];
  /** Ends the process, by SIGTERM unless told otherwise, and starts it on the same storage. */
  restart(how?: { signal?: NodeJS.Signals; token?: Secret }): Promise<void>;
  /** SIGHUP: it opens its audit files anew. */
  reload(): void;
  signal(signal: NodeJS.Signals): void;
  /** Ends the process and removes its folder. */
  stop(): Promise<void>;
}

/** In what an organization's Vault may differ. */
export interface OrgVaultChanges {
  /** False leaves out `configure`, the last that is done by hand here. */
  configure?: boolean;
  machineTokens?: boolean;
  /** Raft in its own folder unless given. */
  storage?: Record<string, unknown>;
  /** Beside its unseal token. */
  environment?: Record<string, string>;
}

/** Does by hand what onboarding does, up to `configure`. */
export async function startOrgVault(
  internal: Pick<InternalVault, "binary" | "endpoint" | "controlPlane" | "ca">,
  {
    claim,
    issuer,
    configure = true,
    machineTokens = false,
    storage,
    environment = {},
  }: OrgVaultChanges & { claim: string; issuer: TestIssuer },
): Promise<OrgVault> {
  const org = newOrgId();
  const dir = await mkdtemp(join(tmpdir(), "strongroom-org-"));
  const listen = await freeListen();
  const endpoint = { address: `https://${listen}`, ca: internal.ca, serverName: orgServerName(org) };
  const place = { ...localPlace(org, listen), ...(storage && { storage }) };
  const config = orgServerConfig({ org, place, internalVault: internal.endpoint });
  let server: VaultServer | undefined;
  const start = async (token: Secret) => {
    const secrets = { VAULT_TOKEN: token.reveal() };
    server = await startVaultServer(internal.binary, dir, config, endpoint, { ...environment, ...secrets });
  };
  const stop = async () => {
    await server?.end();
    await rm(dir, { recursive: true });
  };
  try {
    await createUnsealKey(internal.controlPlane, org);
    const unsealToken = await mintUnsealToken(internal.controlPlane, org);
    const certificate = await issueOrgCertificate(internal.controlPlane, org, 3600);
    await mkdir(join(dir, "tls"), { mode: 0o700 });
    await writeFile(join(dir, "tls", "certificate.pem"), certificate.certificate);
    await writeFile(join(dir, "tls", "key.pem"), certificate.key.reveal(), { mode: 0o600 });
    await start(unsealToken.token);
    const open = vaultClient(endpoint, undefined, INIT_MS);
    const { rootToken, recoveryKeys } = await initialize(open, { pgpKeys: await pgpKeys(3), threshold: 2 });
    await whenActive(open);
    const root = vaultClient(endpoint, () => rootToken);
    const settings: OrgVaultSettings = {
      org,
      claim,
      issuer: issuer.issuer,
      issuerKeys: [publicPem(issuer.pair)],
      machineTokens,
      trust: await readPlatformTrust(internal.controlPlane),
      auditFiles: [join(dir, "audit-1.log"), join(dir, "audit-2.log")],
    };
    if (configure) await configureOrgVault(root, settings);
    return {
      org,
      dir,
      endpoint,
      settings,
      root,
      rootToken,
      unsealToken: unsealToken.token,
      unsealTokenAccessor: unsealToken.accessor,
      certificateSerial: certificate.serial,
      recoveryKeys,
      async restart({ signal, token = unsealToken.token } = {}) {
        await server?.end(signal);
        await start(token);
        await whenActive(open);
      },
      reload: () => server?.signal("SIGHUP"),
      signal: (signal) => server?.signal(signal),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Base64 PGP keys whose private halves nobody keeps. */
export async function pgpKeys(count: number): Promise<string[]> {
  const keys = Array.from({ length: count }, async () => {
    const { publicKey } = await generateKey({
      type: "ecc",
      curve: "curve25519Legacy",
      userIDs: [{ name: "recovery" }],
    });
    return Buffer.from((await readKey({ armoredKey: publicKey })).write()).toString("base64");
  });
  return Promise.all(keys);
}

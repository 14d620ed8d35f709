import { generateKeyPairSync, sign } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { generateKey, readKey } from "openpgp";
import { newOrgId, orgServerName } from "../org.ts";
import { signOwnership } from "../registry/owners.ts";
import { Secret } from "../secret.ts";
import { appRoleLogin } from "./approle.ts";
import { type VaultClient, type VaultEndpoint, VaultUnreachableError, vaultClient } from "./client.ts";
import { loginWithCertificate, makeClientCertificate } from "./client-certificate.ts";
import { health } from "./health.ts";
import { initialize, initializeShamir, sealStatus, unseal } from "./init.ts";
import { bootstrapInternalVault } from "./internal-vault.ts";
import { kv2 } from "./kv.ts";
import { loginAsOperator } from "./operator.ts";
import { compareOrgVault, configureOrgVault, type OrgVaultSettings } from "./org-vault.ts";
import { issueOrgCertificate } from "./pki.ts";
import { loginWithJwt, OBSERVE, signPlatformJwt } from "./platform-jwt.ts";
import { readPlatformTrust } from "./platform-trust.ts";
import { CommandError, runCommand } from "./run-command.ts";
import { internalServerConfig, orgServerConfig } from "./server-config.ts";
import { mintUnsealToken, revokeSelf } from "./tokens.ts";
import { createUnsealKey, signCompactJws } from "./transit.ts";

/** A Vault binary does not do what the platform asks of it. The message says at what, and Vault's own reason. */
export class SelfCheckError extends Error {
  override name = "SelfCheckError";
  /** It had no answer in time, which may be the machine's fault. */
  readonly late: boolean;

  constructor(step: string, cause: unknown, late: boolean) {
    super(`${step}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.late = late;
  }
}

const TIMEOUT_MS = 60_000;
const POLL_MS = 20;
const MEMORY = { inmem: {} };
const ISSUER = { issuer: "https://check.invalid", audience: "https://check.invalid/vault" };

/**
 * Runs an internal Vault and an organization's on this binary, on loopback and in memory, and does to them
 * what the platform does, with the functions it does it by: settings, seal, policies, mounts, logins,
 * certificates, audit devices, and a secret written and read. Takes about five seconds and leaves nothing.
 * @throws SelfCheckError if something of it fails; the signal's reason when aborted
 */
export async function selfCheck(binary: string, signal?: AbortSignal): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "strongroom-check-"));
  const stop = new AbortController();
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const run = new Run(binary, dir, AbortSignal.any([stop.signal, timeout, ...(signal ? [signal] : [])]));
  try {
    await check(run);
  } catch (error) {
    signal?.throwIfAborted();
    throw new SelfCheckError(run.step, error, timeout.aborted || error instanceof VaultUnreachableError);
  } finally {
    stop.abort();
    await run.ended();
    await rm(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
}

async function check(run: Run): Promise<void> {
  const internalDir = join(run.dir, "internal");
  const internalListen = await freeListen();
  const internal: VaultEndpoint = { address: `http://${internalListen}` };
  run.step = "starting the internal Vault";
  const open = await run.server(
    internalDir,
    internalServerConfig({ dir: internalDir, listen: internalListen }),
    internal,
  );
  run.step = "initializing and unsealing the internal Vault";
  const { rootToken, unsealKey } = await initializeShamir(open);
  await unseal(open, unsealKey);
  await run.active(open);
  run.step = "configuring the internal Vault";
  const operatorKey = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const identity = await bootstrapInternalVault(
    vaultClient(internal, () => rootToken),
    {
      certificateMaxTtlSeconds: 3600,
      operatorKey: operatorKey.publicKey.export({ type: "spki", format: "pem" }).toString(),
      auditFile: join(internalDir, "audit.log"),
    },
  );

  run.step = "the control plane's login and what it makes for an organization";
  const controlPlane = vaultClient(internal, appRoleLogin(internal, identity).token);
  const org = newOrgId();
  await createUnsealKey(controlPlane, org);
  const unsealToken = await mintUnsealToken(controlPlane, org);
  const certificate = await issueOrgCertificate(controlPlane, org, 3600);
  const registry = kv2(controlPlane, "registry");
  await registry.write(`orgs/${org}`, { id: org }, 0);
  if (!(await registry.list("orgs")).includes(org)) throw new Error("a record is not in the list");
  await registry.write(`names/${org}`, { org }, 0);
  await registry.destroy(`names/${org}`);
  await signCompactJws(controlPlane, "directory", {}, { version: 1 });

  run.step = "starting an organization's Vault with its transit seal";
  const orgDir = join(run.dir, "org");
  const listen = await freeListen();
  const endpoint = { address: `https://${listen}`, ca: identity.ca, serverName: orgServerName(org) };
  await mkdir(join(orgDir, "tls"), { recursive: true });
  await writeFile(join(orgDir, "tls", "certificate.pem"), certificate.certificate);
  await writeFile(join(orgDir, "tls", "key.pem"), certificate.key.reveal(), { mode: 0o600 });
  const config = orgServerConfig({
    org,
    place: { listen, storage: MEMORY, mlock: false },
    internalVault: { address: internal.address },
  });
  const orgOpen = await run.server(orgDir, config, endpoint, { VAULT_TOKEN: unsealToken.token.reveal() });
  run.step = "initializing an organization's Vault with recovery keys";
  const pgpKey = await newPgpKey();
  const init = await initialize(orgOpen, { pgpKeys: [pgpKey, pgpKey], threshold: 2 });
  await run.active(orgOpen);

  run.step = "configuring an organization's Vault";
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const root = vaultClient(endpoint, () => init.rootToken);
  const settings: OrgVaultSettings = {
    org,
    claim: "check",
    issuer: {
      ...ISSUER,
      jwksUri: `${ISSUER.issuer}/jwks`,
      algorithms: ["ES256"],
      orgClaim: "org",
      groupsClaim: "groups",
    },
    issuerKeys: [publicKey.export({ type: "spki", format: "pem" }) as string],
    machineTokens: true,
    trust: await readPlatformTrust(controlPlane),
    auditFiles: [join(orgDir, "audit-1.log"), join(orgDir, "audit-2.log")],
  };
  await configureOrgVault(root, settings);
  run.step = "reading an organization's Vault back";
  const differences = await compareOrgVault(root, settings, { sudo: true });
  if (differences.length > 0) throw new Error(differences.join("; "));

  run.step = "an operator's login, and a client certificate at an organization's Vault";
  const key = new Secret(operatorKey.privateKey.export({ type: "pkcs8", format: "pem" }).toString());
  const operator = await loginAsOperator(internal, { key, clusterId: identity.clusterId });
  await signOwnership(operator, { org, issuer: ISSUER.issuer, claim: "check", serial: 1 });
  const client = await makeClientCertificate(operator, "platform-maintain", org);
  await loginWithCertificate(endpoint, "platform-maintain", client);

  run.step = "the control plane's login at an organization's Vault";
  const observe = { org, subject: "control-plane", now: new Date() };
  const observer = await signPlatformJwt(controlPlane, observe);
  await loginWithJwt(endpoint, OBSERVE, OBSERVE, observer);

  run.step = "a member's login, and a secret written and read";
  const iat = Math.floor(Date.now() / 1000);
  const claims = { iss: ISSUER.issuer, aud: ISSUER.audience, sub: "check", iat, exp: iat + 300 };
  const parts = [
    { alg: "ES256", typ: "JWT" },
    { ...claims, org: "check", groups: ["writer"] },
  ];
  const input = parts.map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  const signature = sign("sha256", Buffer.from(input), { key: privateKey, dsaEncoding: "ieee-p1363" });
  const jwt = new Secret(`${input}.${signature.toString("base64url")}`);
  const { token } = await loginWithJwt(endpoint, "jwt", "writer", jwt);
  const secrets = kv2(
    vaultClient(endpoint, () => token),
    "secret",
  );
  await secrets.write("check", { written: "yes" }, 0);
  const { data } = (await secrets.read("check")) ?? {};
  if (data?.written !== "yes") throw new Error("what was written does not come back");
  await revokeSelf(root);
}

/** Both servers of one check, and what it is doing. */
class Run {
  step = "starting";
  readonly dir: string;
  readonly #binary: string;
  readonly #signal: AbortSignal;
  readonly #servers: Promise<void>[] = [];

  constructor(binary: string, dir: string, signal: AbortSignal) {
    this.#binary = binary;
    this.dir = dir;
    this.#signal = signal;
  }

  /** Starts a server in memory and waits until it answers; a setting it does not know is an error. */
  async server(
    dir: string,
    config: Record<string, unknown>,
    endpoint: VaultEndpoint,
    environment: Record<string, string> = {},
  ): Promise<VaultClient> {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const file = join(dir, "vault.json");
    await writeFile(file, JSON.stringify({ ...config, storage: MEMORY }).replaceAll("{dir}", dir));
    let problem: Error | undefined;
    const ended = runCommand(this.#binary, ["server", `-config=${file}`], {
      cwd: dir,
      env: { PATH: "/usr/bin:/bin", HOME: dir, ...environment },
      timeoutMs: TIMEOUT_MS,
      signal: this.#signal,
      onLine: (line) => {
        const unknown = /unknown or unsupported field (\S+)/i.exec(line)?.[1];
        if (unknown) problem ??= new Error(`it does not know the setting ${unknown}`);
      },
    }).then(
      () => new Error("the server ended by itself"),
      (error: unknown) => error as Error,
    );
    this.#servers.push(
      ended.then((error) => {
        problem ??= error;
      }),
    );
    const client = vaultClient(endpoint, undefined, TIMEOUT_MS);
    await this.#until(async () => {
      if (problem) throw problem instanceof CommandError ? new Error(lastError(problem.message)) : problem;
      return (await sealStatus(client).catch(() => undefined)) !== undefined;
    });
    return client;
  }

  active = (client: VaultClient): Promise<void> =>
    this.#until(async () => (await health(client)) === "active");

  ended = (): Promise<unknown> => Promise.allSettled(this.#servers);

  async #until(condition: () => Promise<boolean>): Promise<void> {
    while (!(await condition())) await sleep(POLL_MS, undefined, { signal: this.#signal });
  }
}

/** Of what a server printed as it ended, the line that says why. */
const lastError = (output: string): string => /^.*error.*$/im.exec(output)?.[0].trim() ?? output;

/** Base64 of a PGP key whose private half nobody keeps. */
async function newPgpKey(): Promise<string> {
  const { publicKey } = await generateKey({
    type: "ecc",
    curve: "curve25519Legacy",
    userIDs: [{ name: "check" }],
  });
  return Buffer.from((await readKey({ armoredKey: publicKey })).write()).toString("base64");
}

/** `127.0.0.1:<port>` whose next port is free too: a server takes it for its cluster. */
async function freeListen(): Promise<string> {
  for (;;) {
    const port = await portAt(0);
    if (port && port < 65_535 && (await portAt(port + 1))) return `127.0.0.1:${port}`;
  }
}

const portAt = (port: number): Promise<number | undefined> =>
  new Promise((resolve) => {
    const probe = createServer()
      .once("error", () => resolve(undefined))
      .listen(port, "127.0.0.1", () => {
        const { port: taken } = probe.address() as { port: number };
        probe.close(() => resolve(taken));
      });
  });

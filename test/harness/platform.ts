import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { inject } from "vitest";
import { ControlPlane } from "../../services/cli/control-plane-client.ts";
import { whenServed } from "../../services/cli/gateway.ts";
import {
  mintOperatorToken,
  mintTenantToken,
  type TenantClaims,
} from "../../services/cli/identity-provider.ts";
import { type PlatformFile, SERVICES, StateFolder } from "../../services/cli/platform/state-folder.ts";
import { killEverything } from "../../services/cli/platform/survivors.ts";
import { operatorTokens } from "../../services/cli/session.ts";
import type { Job } from "../../services/shared/api/jobs.ts";
import type { OrgView } from "../../services/shared/api/orgs.ts";
import { poll } from "../../services/shared/poll.ts";
import { readProcessRecord } from "../../services/shared/process/recorded-process.ts";

export const LAUNCHER = fileURLToPath(new URL("../../services/cli/strongroom.mjs", import.meta.url));
const READY_WITHIN_MS = 90_000;
const STOP_WITHIN_MS = 45_000;
const JOB_WITHIN_MS = 60_000;

export interface PlatformOptions {
  /** Used and kept. Without it the platform has a folder of its own, which `stop` removes. */
  stateDir?: string;
  /** Settled when the state folder is new. Default 768 h. */
  unsealTokenPeriodSeconds?: number;
  /** Ports to take; 0, any free one, by default. */
  gatewayPort?: number;
  controlPlanePort?: number;
  intakePort?: number;
  /** Runs the demo, which onboards acme and globex, and with it the demo's provider; waits for its end. */
  demo?: boolean;
}

/** A whole platform as `strongroom up` runs it, as a process of its own. */
export interface Platform extends PlatformFile {
  /** A tenant's token of the local identity provider. `org` is the claim's value, like `org_acme`. */
  token(claims: TenantClaims): Promise<string>;
  /** An operator's token; all permissions of the control plane unless given. */
  operatorToken(permissions?: string[]): Promise<string>;
  /** A client of the control plane, as an operator with all permissions. */
  client: ControlPlane;
  /** Creates an organization and waits until it is ready and the gateway serves it. */
  createOrg(name: string, claim: string): Promise<OrgView>;
  /** Deletes an organization and waits until that is done. */
  deleteOrg(id: string): Promise<OrgView>;
  /** The pid of `internal-vault` or of a service. */
  servicePid(name: string): Promise<number>;
  /** What `strongroom up` has written to stderr so far. */
  stderr(): string;
  /** SIGTERM, and waits until everything has ended; after `kill`, ends the survivors. */
  stop(): Promise<void>;
  /** `kill -9` of `strongroom up` alone: its children go on. */
  kill(): Promise<void>;
}

/** Starts `strongroom up` and waits until it is ready. Throws with its stderr where it ends before that. */
export async function startPlatform(options: PlatformOptions = {}): Promise<Platform> {
  const state = new StateFolder(options.stateDir ?? (await mkdtemp(join(tmpdir(), "strongroom-platform-"))));
  const { child, stderr, ended } = spawnUp(state.path, options);
  const discard = async () => {
    await killEverything(state);
    if (!options.stateDir) await rm(state.path, { recursive: true, force: true, maxRetries: 5 });
  };
  const end = async () => {
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_WITHIN_MS);
    await ended;
    clearTimeout(timer);
    await discard();
  };
  const started = async () => {
    const file = await ready(state, child, stderr);
    if (options.demo) await demoShown(stderr);
    return file;
  };
  const file = await started().catch(async (error) => {
    await end();
    throw error;
  });

  const client = new ControlPlane(file.controlPlane, operatorTokens(file.identityProvider));
  const finished = async (job: Job): Promise<OrgView> => {
    let now = job;
    for (const until = Date.now() + JOB_WITHIN_MS; now.state === "running" || now.state === "undoing"; ) {
      if (Date.now() > until) throw new Error(`job ${job.id} did not end: ${JSON.stringify(now)}`);
      await sleep(100);
      now = await client.job(job.id);
    }
    if (now.state === "failed") throw new Error(`job ${job.id} failed: ${JSON.stringify(now.error)}`);
    return await client.org(job.org);
  };
  return {
    ...file,
    client,
    token: async (claims) => (await mintTenantToken(file.identityProvider, claims)).reveal(),
    operatorToken: async (permissions) =>
      (await mintOperatorToken(file.identityProvider, permissions)).reveal(),
    createOrg: async (name, claim) => {
      const org = await finished(await client.createOrg({ name, claim }));
      if (!(await whenServed(file, claim))) throw new Error(`the gateway does not serve ${name}`);
      return org;
    },
    deleteOrg: async (id) => finished(await client.deleteOrg(id)),
    servicePid: async (name) => {
      const record = await readProcessRecord(state.processFile(name));
      if (!record) throw new Error(`${name} is not recorded as running`);
      return record.pid;
    },
    stderr,
    stop: end,
    kill: async () => {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/** Starts `strongroom up` and does not wait. */
export function spawnUp(state: string, options: PlatformOptions = {}, { detached = false } = {}) {
  const { gatewayPort = 0, controlPlanePort = 0, intakePort = 0, demo = false } = options;
  const { unsealTokenPeriodSeconds: period } = options;
  const args = [
    "up",
    "--state",
    state,
    "--gateway-port",
    `${gatewayPort}`,
    "--control-plane-port",
    `${controlPlanePort}`,
    "--intake-port",
    `${intakePort}`,
  ];
  if (demo) args.push("--demo");
  if (period) args.push("--unseal-token-period", `${period}s`);
  const child = spawn(process.execPath, [LAUNCHER, ...args], {
    env: { PATH: process.env.PATH ?? "", HOME: process.env.HOME ?? state, VAULT_BIN: inject("vaultBinary") },
    detached,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let text = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  return { child, stderr: () => text, ended: once(child, "close") };
}

async function ready(state: StateFolder, child: ChildProcess, stderr: () => string): Promise<PlatformFile> {
  for (const until = Date.now() + READY_WITHIN_MS; ; await sleep(50)) {
    const file = await state.platform();
    if (file && file.pid === child.pid) return file;
    if (child.exitCode !== null || child.signalCode !== null || Date.now() > until) {
      throw new Error(`the platform did not become ready:\n${stderr()}\n${await lastLines(state)}`);
    }
  }
}

async function demoShown(stderr: () => string): Promise<void> {
  const shown = async () =>
    stderr().includes("Press Ctrl-C to stop everything") ||
    (stderr().includes("Error: ") ? false : undefined);
  if (await poll(shown, { everyMs: 50, withinMs: READY_WITHIN_MS })) return;
  throw new Error(`the demo did not come to its end:\n${stderr()}`);
}

/** The ends of the services' logs, for a start that failed. */
async function lastLines(state: StateFolder): Promise<string> {
  const texts = ["internal-vault", ...SERVICES].map(async (name) => {
    const log = await readFile(state.logFile(name), "utf8").catch(() => "");
    return `${name}: ${log.split("\n").slice(-6).join("\n")}`;
  });
  return (await Promise.all(texts)).join("\n");
}

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { ControlPlane } from "../../services/cli/client.ts";
import { whenServed } from "../../services/cli/gateway.ts";
import { mintOperatorToken, mintTenantToken } from "../../services/cli/identity-provider.ts";
import { type PlatformFile, StateFolder } from "../../services/cli/platform/state-folder.ts";

const LAUNCHER = fileURLToPath(new URL("../../services/cli/strongroom.mjs", import.meta.url));

/** A platform under measurement: `strongroom up` as a process of its own. */
export interface BenchPlatform extends PlatformFile {
  client: ControlPlane;
  /** From the start of the command until it is ready, in ms. */
  readyMs: number;
  token(org: string, groups?: string[]): Promise<string>;
  stop(): Promise<void>;
}

const READY_WITHIN_MS = 120_000;
/** The organizations of `up --demo`. */
const DEMO_CLAIMS = ["org_acme", "org_globex"];

/**
 * Starts `strongroom up` on a state folder, on free ports, and waits (at most 120 s) until it is ready: its
 * `platform.json` is there and, with `demo`, both organizations of the demo are served.
 */
export async function startBenchPlatform(state: string, { demo = false } = {}): Promise<BenchPlatform> {
  const folder = new StateFolder(state);
  const begun = performance.now();
  const up: ChildProcess = spawn(
    process.execPath,
    [
      ...[LAUNCHER, "up", "--state", state, "--gateway-port", "0", "--control-plane-port", "0"],
      ...(demo ? ["--demo"] : []),
    ],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  const ended = once(up, "exit");
  let platform = await folder.platform();
  while (!platform) {
    if (up.exitCode !== null) throw new Error(`strongroom up ended with ${up.exitCode}`);
    if (performance.now() - begun > READY_WITHIN_MS) throw new Error("strongroom up was not ready in time");
    await sleep(20);
    platform = await folder.platform();
  }
  // Where there are no organizations yet, the demo onboards them after the file is written.
  for (const claim of demo ? DEMO_CLAIMS : []) {
    const timeoutMs = READY_WITHIN_MS - (performance.now() - begun);
    if (await whenServed(platform, claim, { timeoutMs })) continue;
    up.kill("SIGTERM");
    await ended;
    throw new Error(`${claim} was not served in time`);
  }
  const readyMs = performance.now() - begun;
  const { identityProvider } = platform;
  return {
    ...platform,
    readyMs,
    client: new ControlPlane(platform.controlPlane, () => mintOperatorToken(identityProvider)),
    token: async (org, groups = []) => (await mintTenantToken(identityProvider, { org, groups })).reveal(),
    stop: async () => {
      up.kill("SIGTERM");
      await ended;
    },
  };
}

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { ControlPlane } from "../../services/cli/client.ts";
import { mintOperatorToken, mintTenantToken } from "../../services/cli/identity-provider.ts";
import { type PlatformFile, StateFolder } from "../../services/cli/platform/state-folder.ts";

const LAUNCHER = fileURLToPath(new URL("../../services/cli/strongroom.mjs", import.meta.url));

/** A platform under measurement: `strongroom up` as a process of its own. */
export interface BenchPlatform extends PlatformFile {
  client: ControlPlane;
  /** From the start of the command to `platform.json`, in ms. */
  readyMs: number;
  token(org: string, groups?: string[]): Promise<string>;
  stop(): Promise<void>;
}

/** Starts `strongroom up` on a state folder, on free ports, and waits (at most 120 s) until it is ready. */
export async function startBenchPlatform(state: string, ...flags: string[]): Promise<BenchPlatform> {
  const folder = new StateFolder(state);
  const begun = performance.now();
  const up: ChildProcess = spawn(
    process.execPath,
    [LAUNCHER, "up", "--state", state, "--gateway-port", "0", "--control-plane-port", "0", ...flags],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  const ended = once(up, "exit");
  let platform = await folder.platform();
  while (!platform) {
    if (up.exitCode !== null) throw new Error(`strongroom up ended with ${up.exitCode}`);
    if (performance.now() - begun > 120_000) throw new Error("strongroom up was not ready within 120 s");
    await sleep(20);
    platform = await folder.platform();
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

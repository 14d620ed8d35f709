import { setTimeout as sleep } from "node:timers/promises";
import { Config } from "../../services/control-plane/config.ts";
import { startControlPlane } from "../../services/control-plane/start.ts";
import { readConfig } from "../../services/shared/config.ts";
import { run, serve } from "../../services/shared/http/serve.ts";

/**
 * The control plane as it is, but for one seam: at `FAULT_SEAM` it dies by SIGKILL, or with
 * `FAULT_KIND=throw` the step fails, or with `FAULT_KIND=hold` it stops there until it is killed.
 */
const { FAULT_SEAM, FAULT_KIND = "kill" } = process.env;

async function seam(name: string): Promise<void> {
  if (name !== FAULT_SEAM) return;
  if (FAULT_KIND === "throw") throw new Error("injected by a test");
  if (FAULT_KIND === "kill") process.kill(process.pid, "SIGKILL");
  await sleep(2 ** 30);
}

await run(async () => {
  const config = readConfig(process.env, Config);
  await serve(await startControlPlane(config, seam), config);
});

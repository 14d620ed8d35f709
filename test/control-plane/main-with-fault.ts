import { setTimeout as sleep } from "node:timers/promises";
import { Config } from "../../services/control-plane/config.ts";
import { startControlPlane } from "../../services/control-plane/start.ts";
import { readConfig } from "../../services/shared/config.ts";
import { run, serve } from "../../services/shared/http/serve.ts";

/**
 * The control plane as it is, but for the seams named in `FAULTS` (`failpoint=kind`, separated by commas): there
 * it dies by SIGKILL (`kill`), the step fails (`throw`), or it goes no further until it is killed (`hold`).
 */
const faults = new Map(
  (process.env.FAULTS ?? "").split(",").map((each) => each.split("=") as [string, string]),
);

async function failpoint(name: string): Promise<void> {
  const kind = faults.get(name);
  if (kind === undefined) return;
  if (kind === "throw") throw new Error("injected by a test");
  if (kind === "kill") process.kill(process.pid, "SIGKILL");
  await sleep(2 ** 30);
}

await run(async () => {
  const config = readConfig(process.env, Config);
  await serve(await startControlPlane(config, failpoint), config);
});

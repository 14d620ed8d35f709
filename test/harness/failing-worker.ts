/* A worker that ends by SIGKILL when its first job has come as far as the step that its argument names. */
import { createLogger } from "../../services/shared/log.ts";
import { readSettings } from "../../services/worker/config.ts";
import { startWorker } from "../../services/worker/start.ts";

const [, , lastStep] = process.argv;
await startWorker(readSettings(process.env), createLogger("worker", "info"), (step) => {
  if (step === lastStep) process.kill(process.pid, "SIGKILL");
});

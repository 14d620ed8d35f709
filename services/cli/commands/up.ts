import { Option } from "commander";
import type { CliCommand } from "../command.ts";
import { asFailure, EXIT_STATUS } from "../failure.ts";
import { period, port } from "../options.ts";
import { Platform } from "../platform/platform.ts";
import { type PlatformFile, SERVICES, type ServiceName } from "../platform/state-folder.ts";
import { watchSource } from "../platform/watch-source.ts";
import { createProgress, duration } from "../progress.ts";
import type { Session } from "../session.ts";

export const upCommand: CliCommand = {
  declare(line) {
    line
      .option("--demo", "with an empty state folder, onboard two organizations and show them at work")
      .addOption(port("--gateway-port <port>", "the gateway's port; 0: any free port", 8200))
      .addOption(port("--control-plane-port <port>", "the control plane's port; 0: any free port", 8280))
      .addOption(
        port("--intake-port <port>", "the port of the intake of credentials; 0: any free port", 8220),
      )
      .addOption(
        period(
          "--unseal-token-period <duration>",
          "unseal-token TTL without renewal; fixed when the state folder is created (default: 768h)",
        ),
      )
      .addOption(
        new Option(
          "--watch <service>",
          "start this service again each time its source changes, for those who work on it",
        ).choices(SERVICES),
      );
  },
  run: up,
};

/** One Ctrl-C can arrive twice: from the terminal and from npm. */
const SAME_SIGNAL_MS = 1_000;

export interface UpOptions {
  demo?: boolean;
  gatewayPort: number;
  controlPlanePort: number;
  intakePort: number;
  unsealTokenPeriod?: number;
  watch?: ServiceName;
}

/** `strongroom up`: runs the platform until a signal stops it. */
async function up(session: Session, _: string[], options: UpOptions): Promise<number> {
  const { out, state } = session;
  const begun = performance.now();
  const interrupt = new AbortController();
  const platform = new Platform({
    state,
    gatewayPort: options.gatewayPort,
    controlPlanePort: options.controlPlanePort,
    intakePort: options.intakePort,
    demo: options.demo === true,
    unsealTokenPeriodSeconds: options.unsealTokenPeriod,
    progress: createProgress(out.stderr),
    env: session.environment.system,
    signal: interrupt.signal,
  });
  const release = onSignals(
    () => interrupt.abort(),
    async () => {
      out.note("Killing the remaining processes.");
      await platform.kill().finally(() => process.exit(EXIT_STATUS.interrupted.status));
    },
  );
  try {
    const file = await platform.start();
    report(session, file, performance.now() - begun);
    if (options.demo) {
      const { demo } = await import("../platform/demo.ts");
      await demo(session, file, interrupt.signal).catch((error: unknown) => {
        // The platform itself is healthy and stays up, so that the failure can be examined.
        if (!interrupt.signal.aborted) out.failure(asFailure(error));
      });
    } else out.note("Press Ctrl-C to stop.");
    if (options.watch) restartOnChange(session, platform, options.watch, interrupt.signal);
    await aborted(interrupt.signal);
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
  } finally {
    if (interrupt.signal.aborted) out.note("Stopping. Press Ctrl-C again to kill the remaining processes.");
    await platform.stop();
    release();
  }
  return EXIT_STATUS.ok.status;
}

function restartOnChange({ out }: Session, platform: Platform, name: ServiceName, signal: AbortSignal): void {
  out.note(`Watching the source of ${name}. Its log: strongroom logs --service ${name} --follow`);
  watchSource(name, signal, (file) => {
    out.note(`${file} has changed: starting ${name} again`);
    platform.restart(name).catch((error: unknown) => out.failure(asFailure(error)));
  });
}

function report({ out }: Session, file: PlatformFile, ms: number): void {
  out.note();
  out.note(`${out.style("green", "Ready")} after ${duration(ms)}`);
  out.note(`  gateway            ${file.gateway}`);
  out.note(`  intake             ${file.intake}`);
  out.note(`  control plane      ${file.controlPlane}`);
  out.note(`  identity provider  ${file.identityProvider}`);
  if (file.demoProvider) out.note(`  demo's provider    ${file.demoProvider}`);
  out.note(`  state              ${file.state}`);
  out.note("The platform's own secrets, in files that only you can read:");
  out.note(`  ${file.state}/recovery-key.asc     PGP key that decrypts organizations' recovery keys`);
  out.note(`  ${file.state}/operator-key.pem     the operator's key for logging in to the internal Vault`);
  out.note(`  ${file.state}/internal-vault/unseal-key`);
  if (out.json) out.data(file, () => "");
}

/** Calls `first` on the first SIGINT, SIGTERM or SIGHUP, and `second` on a later one. */
function onSignals(first: () => void, second: () => void): () => void {
  let at: number | undefined;
  const handle = () => {
    if (at === undefined) {
      at = performance.now();
      first();
    } else if (performance.now() - at > SAME_SIGNAL_MS) second();
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, handle);
  return () => {
    for (const signal of signals) process.off(signal, handle);
  };
}

/** Waits for the signal. The timer keeps an otherwise idle process alive; signal handlers alone do not. */
async function aborted(signal: AbortSignal): Promise<void> {
  const awake = setInterval(() => {}, 2 ** 30);
  if (!signal.aborted)
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  clearInterval(awake);
}

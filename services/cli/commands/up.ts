import { Option } from "commander";
import { createProgress, duration } from "../../shared/progress.ts";
import type { CliCommand } from "../command.ts";
import { asFailure, EXIT_STATUS } from "../failure.ts";
import { period, port } from "../options.ts";
import { Platform } from "../platform/platform.ts";
import { type PlatformFile, SERVICES, type ServiceName } from "../platform/state-folder.ts";
import { watchSource } from "../platform/watch-source.ts";
import type { Session } from "../session.ts";

export const upCommand: CliCommand = {
  declare(line) {
    line
      .option("--demo", "on an empty state folder, onboard two organizations before your eyes")
      .addOption(port("--gateway-port <port>", "where the gateway listens; 0: any free port", 8200))
      .addOption(
        port("--control-plane-port <port>", "where the control plane listens; 0: any free port", 8280),
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

/** One Ctrl-C can arrive twice: from the terminal, and passed on by npm. */
const SAME_SIGNAL_MS = 1_000;

export interface UpOptions {
  demo?: boolean;
  gatewayPort: number;
  controlPlanePort: number;
  unsealTokenPeriod?: number;
  watch?: ServiceName;
}

/** `strongroom up`: runs the platform until a signal ends it. */
async function up(session: Session, _: string[], options: UpOptions): Promise<number> {
  const { out, state } = session;
  const begun = performance.now();
  const interrupt = new AbortController();
  const platform = new Platform({
    state,
    gatewayPort: options.gatewayPort,
    controlPlanePort: options.controlPlanePort,
    unsealTokenPeriodSeconds: options.unsealTokenPeriod,
    progress: createProgress(out.stderr),
    env: session.environment.system,
    signal: interrupt.signal,
  });
  const release = onSignals(
    () => interrupt.abort(),
    async () => {
      out.note("Killing what is left.");
      await platform.kill().finally(() => process.exit(EXIT_STATUS.interrupted.status));
    },
  );
  try {
    const file = await platform.start();
    report(session, file, performance.now() - begun);
    if (options.demo) {
      const { demo } = await import("../platform/demo.ts");
      await demo(session, file, interrupt.signal).catch((error: unknown) => {
        // The platform itself is well: it stays up to be looked at.
        if (!interrupt.signal.aborted) out.failure(asFailure(error));
      });
    } else out.note("Ctrl-C stops it.");
    if (options.watch) restartOnChange(session, platform, options.watch, interrupt.signal);
    await aborted(interrupt.signal);
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
  } finally {
    if (interrupt.signal.aborted) out.note("Stopping. Ctrl-C once more kills what is left.");
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
  out.note(`  control plane      ${file.controlPlane}`);
  out.note(`  identity provider  ${file.identityProvider}`);
  out.note(`  state              ${file.state}`);
  out.note("Secrets of the platform itself, in files that only you can read:");
  out.note(`  ${file.state}/recovery-key.asc     PGP key to organizations' recovery keys`);
  out.note(`  ${file.state}/operator-key.pem     key by which the operator signs in at the internal Vault`);
  out.note(`  ${file.state}/internal-vault/unseal-key`);
  if (out.json) out.data(file, () => "");
}

/** Calls `first` at the first SIGINT, SIGTERM or SIGHUP, and `second` at one that comes after it. */
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

/** The signals' handlers alone would not keep the process alive once everything is idle. */
async function aborted(signal: AbortSignal): Promise<void> {
  const awake = setInterval(() => {}, 2 ** 30);
  if (!signal.aborted)
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  clearInterval(awake);
}

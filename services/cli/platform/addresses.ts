import { isSame, readProcessRecord } from "../../shared/process/recorded-process.ts";
import { Failure } from "../failure.ts";
import type { Progress } from "../progress.ts";
import { freePort, isFree, requireFree } from "./ports.ts";
import type { Addresses, FixedSettings, StateFolder } from "./state-folder.ts";

const DEFAULT_PERIOD_SECONDS = 768 * 3600;
const DEMO_PROVIDER_PORT = 8260;
const BROKER_PORT = 8240;

export interface AddressOptions {
  state: StateFolder;
  /** 0: any free port. */
  gatewayPort: number;
  controlPlanePort: number;
  intakePort: number;
  /** Whether the demo's provider runs too. */
  demo: boolean;
  /** For a new state folder (default: 768 h); an existing one keeps its own. */
  unsealTokenPeriodSeconds: number | undefined;
  progress: Progress;
}

/** The fixed settings of this run. */
export type SettledSettings = FixedSettings & { brokerPort: number };

/**
 * The addresses of this run, and the settings that stay fixed across runs. Failure `unavailable` for a port in
 * use, `config` for a state folder that was moved.
 */
export async function settleAddresses(
  options: AddressOptions,
): Promise<{ settled: SettledSettings; addresses: Addresses }> {
  const { state, unsealTokenPeriodSeconds: period, progress } = options;
  const named = await namedPorts(options);
  const kept = await state.settled();
  if (kept && kept.path !== state.path) {
    throw new Failure(
      "config",
      `This state folder was created at ${kept.path}, and its Vaults refer to it by that path`,
      "Move it back, or start over with another folder: --state DIR",
    );
  }
  if (kept && period && kept.unsealTokenPeriodSeconds !== period) {
    progress.line(
      `--unseal-token-period ignored: this state folder was created with ${kept.unsealTokenPeriodSeconds} s`,
    );
  }

  const taken = [...named];
  const choose = async (port: number | undefined, usable: (port: number) => Promise<boolean>) => {
    const chosen = port && (await usable(port)) ? port : await freePort(taken);
    taken.push(chosen);
    return chosen;
  };
  const survives = await internalVaultLives(state);
  // A platform with any free ports leaves the usual ones to another platform.
  const usual = (port: number) => (options.intakePort === 0 ? undefined : port);
  const provider = options.demo
    ? await choose(kept?.demoProviderPort ?? usual(DEMO_PROVIDER_PORT), isFree)
    : kept?.demoProviderPort;
  const brokerPort = await choose(kept?.brokerPort ?? usual(BROKER_PORT), isFree);
  const settled: SettledSettings = {
    path: state.path,
    internalVaultPort: await choose(kept?.internalVaultPort, async (port) => survives || isFree(port)),
    identityProviderPort: await choose(kept?.identityProviderPort, isFree),
    ...(provider !== undefined && { demoProviderPort: provider }),
    brokerPort,
    unsealTokenPeriodSeconds: kept?.unsealTokenPeriodSeconds ?? period ?? DEFAULT_PERIOD_SECONDS,
  };
  await state.settle(settled);
  const loopback = (port: number) => `http://127.0.0.1:${port}`;
  const addresses: Addresses = {
    gateway: loopback(await choose(options.gatewayPort, async () => true)),
    controlPlane: loopback(await choose(options.controlPlanePort, async () => true)),
    intake: loopback(await choose(options.intakePort, async () => true)),
    identityProvider: loopback(settled.identityProviderPort),
    internalVault: loopback(settled.internalVaultPort),
  };
  return { settled, addresses };
}

/** The ports that the command line names. Throws Failure if two are the same, or one is not free. */
async function namedPorts({ gatewayPort, controlPlanePort, intakePort }: AddressOptions): Promise<number[]> {
  const ports = [
    ["gateway", gatewayPort],
    ["control plane", controlPlanePort],
    ["intake", intakePort],
  ] as const;
  for (const [what, port] of ports) {
    const other = ports.find(([name, taken]) => name !== what && taken === port);
    if (other && port !== 0) {
      throw new Failure("usage", `The ${what} and the ${other[0]} cannot both listen on ${port}`);
    }
  }
  for (const [what, port] of ports) await requireFree(port, what, `--${what.replace(" ", "-")}-port`);
  return ports.map(([, port]) => port);
}

/** Whether an internal Vault of a killed start still runs, to be taken over on its port. */
async function internalVaultLives(state: StateFolder): Promise<boolean> {
  const record = await readProcessRecord(state.processFile("internal-vault"));
  return record !== undefined && (await isSame(record, record.marker));
}

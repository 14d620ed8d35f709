import { isSame, readProcessRecord } from "../../shared/process/recorded-process.ts";
import { Failure } from "../failure.ts";
import type { Progress } from "../progress.ts";
import { freePort, isFree, requireFree } from "./ports.ts";
import type { Addresses, FixedSettings, StateFolder } from "./state-folder.ts";

const DEFAULT_PERIOD_SECONDS = 768 * 3600;

export interface AddressOptions {
  state: StateFolder;
  /** 0: any free port. */
  gatewayPort: number;
  controlPlanePort: number;
  /** For a new state folder (default: 768 h); an existing one keeps its own. */
  unsealTokenPeriodSeconds: number | undefined;
  progress: Progress;
}

/**
 * The addresses of this run, and the settings that stay fixed across runs. Failure `unavailable` for a port in
 * use, `config` for a state folder that was moved.
 */
export async function settleAddresses(
  options: AddressOptions,
): Promise<{ settled: FixedSettings; addresses: Addresses }> {
  const { state, gatewayPort, controlPlanePort, unsealTokenPeriodSeconds: period, progress } = options;
  if (gatewayPort === controlPlanePort && gatewayPort !== 0) {
    throw new Failure("usage", `The gateway and the control plane cannot both listen on ${gatewayPort}`);
  }
  await requireFree(gatewayPort, "gateway", "--gateway-port");
  await requireFree(controlPlanePort, "control plane", "--control-plane-port");
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

  const taken = [gatewayPort, controlPlanePort];
  const choose = async (port: number | undefined, usable: (port: number) => Promise<boolean>) => {
    const chosen = port && (await usable(port)) ? port : await freePort(taken);
    taken.push(chosen);
    return chosen;
  };
  const survives = await internalVaultLives(state);
  const settled: FixedSettings = {
    path: state.path,
    internalVaultPort: await choose(kept?.internalVaultPort, async (port) => survives || isFree(port)),
    identityProviderPort: await choose(kept?.identityProviderPort, isFree),
    unsealTokenPeriodSeconds: kept?.unsealTokenPeriodSeconds ?? period ?? DEFAULT_PERIOD_SECONDS,
  };
  await state.settle(settled);
  const loopback = (port: number) => `http://127.0.0.1:${port}`;
  const addresses: Addresses = {
    gateway: loopback(await choose(gatewayPort, async () => true)),
    controlPlane: loopback(await choose(controlPlanePort, async () => true)),
    identityProvider: loopback(settled.identityProviderPort),
    internalVault: loopback(settled.internalVaultPort),
  };
  return { settled, addresses };
}

/** Whether an internal Vault of a killed start still runs, to be taken over on its port. */
async function internalVaultLives(state: StateFolder): Promise<boolean> {
  const record = await readProcessRecord(state.processFile("internal-vault"));
  return record !== undefined && (await isSame(record, record.marker));
}

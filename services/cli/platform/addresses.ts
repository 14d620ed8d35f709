import { isSame, readProcessRecord } from "../../shared/process/recorded-process.ts";
import { Failure } from "../failure.ts";
import type { Progress } from "../progress.ts";
import { freePort, isFree, requireFree } from "./ports.ts";
import type { Addresses, FixedSettings, StateFolder } from "./state-folder.ts";

const DEFAULT_PERIOD_SECONDS = 768 * 3600;

export interface AddressOptions {
  state: StateFolder;
  /** 0: any free one. */
  gatewayPort: number;
  controlPlanePort: number;
  /** For a new state folder (768 h unless given); an older one keeps its own. */
  unsealTokenPeriodSeconds: number | undefined;
  progress: Progress;
}

/**
 * The addresses of this run, and what stays the same from run to run. Failure `unavailable` for a port that
 * is taken, `config` for a state folder that was moved.
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
      `This state folder was made at ${kept.path}, and its Vaults know it by that path`,
      "Move it back, or begin anew on another folder: --state DIR",
    );
  }
  if (kept && period && kept.unsealTokenPeriodSeconds !== period) {
    progress.line(`Unseal tokens keep the period this folder began with: ${kept.unsealTokenPeriodSeconds} s`);
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

/** Whether one that a killed start left is there to be taken over, at the port that it has. */
async function internalVaultLives(state: StateFolder): Promise<boolean> {
  const record = await readProcessRecord(state.processFile("internal-vault"));
  return record !== undefined && (await isSame(record, record.marker));
}

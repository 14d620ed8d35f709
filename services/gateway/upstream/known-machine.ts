import { StrongroomError } from "../../shared/errors.ts";
import type { MachineCaller, MachineCallers } from "../../shared/front/machine-callers.ts";
import { exchange } from "./exchange.ts";
import type { Upstream } from "./upstreams.ts";

/**
 * Asks an organization's Vault whether it accepts a machine token, unless it accepted it recently: no body is read on
 * the organization's account before that. Throws `forbidden`, and as {@link exchange} does.
 */
export async function knowMachine(
  machines: MachineCallers,
  machine: MachineCaller,
  upstream: Upstream,
  requestId: string,
): Promise<void> {
  if (machines.isKnown(machine)) return;
  const { status } = await exchange(upstream, "/v1/auth/token/lookup-self", "{}", requestId, machine.token);
  machines.note(machine, status === 200);
  if (status !== 200) throw new StrongroomError("forbidden", "permission denied", { cause: status });
}

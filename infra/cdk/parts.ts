import type { Cell } from "./cell.ts";
import type { InternalVault } from "./internal-vault.ts";
import type { Network } from "./network.ts";

/** The stacks that the services depend on. */
export interface Parts {
  network: Network;
  internalVault: InternalVault;
  cell: Cell;
}

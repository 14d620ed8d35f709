import { type App, Tags } from "aws-cdk-lib";
import { Cell } from "./cell.ts";
import { InternalVault } from "./internal-vault.ts";
import { Network } from "./network.ts";
import { Observability } from "./observability.ts";
import { Services } from "./services.ts";
import type { Settings } from "./settings.ts";

/** The whole platform on AWS: five stacks, in deployment order. */
export function strongroom(app: App, settings: Settings) {
  // The account is the one deployed to. Once protected, no stack can be deleted by accident.
  const region = settings.zones[0]?.slice(0, -1);
  const props = { env: { region }, terminationProtection: settings.isProtected };
  const network = new Network(app, "StrongroomNetwork", settings, props);
  const internalVault = new InternalVault(app, "StrongroomInternalVault", network, settings, props);
  const cell = new Cell(app, "StrongroomCell", network, settings, props);
  const parts = { network, internalVault, cell };
  const services = new Services(app, "StrongroomServices", parts, settings, props);
  const observability = new Observability(app, "StrongroomObservability", { ...parts, services }, props);
  Tags.of(app).add("application", "strongroom");
  return { ...parts, services, observability };
}

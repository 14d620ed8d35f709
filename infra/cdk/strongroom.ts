import { type App, Tags } from "aws-cdk-lib";
import { Cell } from "./cell.ts";
import { InternalVault } from "./internal-vault.ts";
import { Network } from "./network.ts";
import { Observability } from "./observability.ts";
import { Services } from "./services.ts";
import type { Settings } from "./settings.ts";

/** All of the platform on AWS, as five stacks, in the order in which they are deployed. */
export function strongroom(app: App, settings: Settings) {
  // The account is whichever is deployed to. Once created, none of the stacks is taken down by a slip of the hand.
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

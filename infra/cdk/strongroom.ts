import { Annotations, type App, Tags } from "aws-cdk-lib";
import { KINDS, type Purpose } from "../../services/shared/work/kinds.ts";
import { Cell } from "./cell.ts";
import { Intake } from "./credentials/intake.ts";
import { type Listens, Worker } from "./credentials/worker.ts";
import { InternalVault } from "./internal-vault.ts";
import { Network } from "./network.ts";
import { Observability } from "./observability.ts";
import { Services } from "./services.ts";
import type { Settings } from "./settings.ts";

/** The whole platform on AWS, in deployment order. */
export function strongroom(app: App, settings: Settings) {
  // The account is the one deployed to. Once protected, no stack can be deleted by accident.
  const region = settings.zones[0]?.slice(0, -1);
  const props = { env: { region }, terminationProtection: settings.isProtected };
  const network = new Network(app, "StrongroomNetwork", settings, props);
  const internalVault = new InternalVault(app, "StrongroomInternalVault", network, settings, props);
  const cell = new Cell(app, "StrongroomCell", network, settings, props);
  const parts = { network, internalVault, cell };
  const services = new Services(app, "StrongroomServices", parts, settings, props);
  const credentials = credentialStacks(app, { network, services }, settings, props);
  const observability = new Observability(
    app,
    "StrongroomObservability",
    { ...parts, services, workers: credentials.workers },
    props,
  );
  Tags.of(app).add("application", "strongroom");
  return { ...parts, services, ...credentials.stacks, observability };
}

/** The workers, each in the account that the settings name, then the intake, which uses their keys. */
function credentialStacks(
  app: App,
  { network, services }: { network: Network; services: Services },
  settings: Settings,
  props: { env: { region: string | undefined }; terminationProtection: boolean },
) {
  const { credentials } = settings;
  const workers = KINDS.map((kind) => {
    const { account } = credentials[kind];
    const id = `StrongroomWorker${kind[0]?.toUpperCase()}${kind.slice(1)}`;
    const listens = kind === "broker" ? brokerLinks(credentials.broker, network, services) : undefined;
    const worker = new Worker(app, id, { kind, listens }, settings, {
      ...props,
      env: { ...props.env, account },
    });
    // Its image is there first. Another account has to wait for that by itself.
    if (account === undefined) worker.addStackDependency(network);
    return worker;
  });
  const keyOf = (kind: Purpose) =>
    credentials[kind].account === undefined
      ? workers.find((worker) => worker.kind === kind)?.key?.keyArn
      : credentials[kind].keyArn;
  const brokerService =
    credentials.broker.account === undefined
      ? workers.find(({ entrance }) => entrance)?.entrance?.serviceName
      : credentials.broker.serviceName;
  const [integration, webhook, broker] = [keyOf("integration"), keyOf("webhook"), keyOf("broker")];
  const stacks = Object.fromEntries(workers.map((worker) => [worker.artifactId, worker]));
  if (
    integration === undefined ||
    webhook === undefined ||
    broker === undefined ||
    brokerService === undefined
  ) {
    for (const worker of workers.filter(({ key }) => key)) {
      Annotations.of(worker).addInfo(
        "StrongroomIntake is left out until the settings have the keyArn of each, and the broker's serviceName",
      );
    }
    return { workers, stacks };
  }
  const uses = { keyArns: { integration, webhook, broker }, brokerService };
  const intake = new Intake(app, "StrongroomIntake", network, uses, settings, props);
  // It is ready only once it has a directory, and the deployment circuit breaker waits for no other stack.
  intake.addStackDependency(services);
  return { workers, stacks: { ...stacks, intake } };
}

/** What the broker's stack needs of others, or of the settings if it is in an account of its own. */
function brokerLinks(
  { account, directoryServiceName = "", platformKeyArn = "" }: Settings["credentials"]["broker"],
  network: Network,
  services: Services,
): Listens {
  if (account !== undefined) {
    return { directoryService: directoryServiceName, platformKey: platformKeyArn };
  }
  return { directoryService: services.directory.serviceName, platformKey: network.platformKey };
}

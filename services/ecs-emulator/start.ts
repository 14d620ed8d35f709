import { ECSClient } from "@aws-sdk/client-ecs";
import { ServiceDiscoveryClient } from "@aws-sdk/client-servicediscovery";
import { SSMClient } from "@aws-sdk/client-ssm";
import { clientSettings } from "../shared/aws/client-settings.ts";
import { makeFolder } from "../shared/files.ts";
import { EcsCluster, type EcsClusterOptions } from "./cluster.ts";
import { startEcsEndpoint } from "./endpoint.ts";

/** Credentials for the emulator; they are valid nowhere else. */
const EMULATED = { accessKeyId: "emulated", secretAccessKey: "emulated" };
const ATTEMPTS = 3;

/** A cluster of an AWS emulator, and the address of its ECS API. */
export interface EcsSettings {
  cluster: string;
  region: string;
  /** URL of the emulator. */
  emulator: string;
  listen: { host: string; port: number };
}

/** A running cluster. */
export interface RunningEcs {
  cluster: EcsCluster;
  /** URL of the ECS API that includes tasks. */
  url: string;
  /** Stops every task, and resolves when all are gone. */
  close(): Promise<void>;
}

/** Runs a cluster of an emulator, and serves its own ECS API. */
export async function startEcs(
  { cluster: name, region, emulator, listen }: EcsSettings,
  options: Pick<EcsClusterOptions, "folder" | "vaultBinary" | "logger"> &
    Partial<Omit<EcsClusterOptions, "cluster" | "environment">>,
): Promise<RunningEcs> {
  const settings = { endpoint: emulator, region, credentials: EMULATED, ...clientSettings(ATTEMPTS) };
  await makeFolder(options.folder);
  const cluster = new EcsCluster({
    ecs: new ECSClient(settings),
    ssm: new SSMClient(settings),
    cloudMap: new ServiceDiscoveryClient(settings),
    ...options,
    cluster: name,
    // ECS itself sets a task's Region and its role's credentials. The endpoint is the emulator's.
    environment: {
      AWS_REGION: region,
      AWS_ACCESS_KEY_ID: EMULATED.accessKeyId,
      AWS_SECRET_ACCESS_KEY: EMULATED.secretAccessKey,
      AWS_DYNAMODB_ENDPOINT: emulator,
    },
  });
  const endpoint = await startEcsEndpoint({ cluster, clusterName: name, upstream: emulator, listen });
  cluster.start();
  return {
    cluster,
    url: endpoint.url,
    async close() {
      await cluster.close();
      await endpoint.close();
    },
  };
}

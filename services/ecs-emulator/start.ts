import { ECSClient } from "@aws-sdk/client-ecs";
import { ServiceDiscoveryClient } from "@aws-sdk/client-servicediscovery";
import { SSMClient } from "@aws-sdk/client-ssm";
import { clientSettings } from "../shared/aws/client-settings.ts";
import { makeFolder } from "../shared/files.ts";
import { EcsCluster, type EcsClusterOptions } from "./cluster.ts";
import { startEcsEndpoint } from "./endpoint.ts";

/** What an emulator takes for credentials; they open nothing anywhere else. */
const EMULATED = { accessKeyId: "emulated", secretAccessKey: "emulated" };
const ATTEMPTS = 3;

/** A cluster of an AWS emulator, and where to answer for it. */
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
  /** Of the ECS API that knows tasks too. */
  url: string;
  /** Ends every task, and resolves when all are gone. */
  close(): Promise<void>;
}

/** Runs a cluster of an emulator, and answers at an ECS API of its own. */
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
    // What ECS gives a task by itself: its Region and its role's credentials. The endpoint is the emulator's.
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

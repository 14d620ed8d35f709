import { CloudWatchLogsClient } from "@aws-sdk/client-cloudwatch-logs";
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { ECSClient } from "@aws-sdk/client-ecs";
import { IAMClient } from "@aws-sdk/client-iam";
import { ServiceQuotasClient } from "@aws-sdk/client-service-quotas";
import { ServiceDiscoveryClient } from "@aws-sdk/client-servicediscovery";
import { awsError } from "../../../shared/aws/aws-error.ts";
import type { Cell } from "../../../shared/aws/cell.ts";
import { clientSettings } from "../../../shared/aws/client-settings.ts";
import type { RateLimits } from "../../../shared/aws/rates.ts";
import { ServiceReader } from "./describe-services.ts";

const ATTEMPTS = 6;
const REQUEST_TIMEOUT_MS = 10_000;

/** A cell, and the clients of the AWS services that its organizations use. */
export interface Aws {
  cell: Cell;
  ecs: ECSClient;
  services: ServiceReader;
  iam: IAMClient;
  dynamodb: DynamoDBClient;
  cloudMap: ServiceDiscoveryClient;
  logs: CloudWatchLogsClient;
  quotas: ServiceQuotasClient;
}

/** The SDK's defaults find credentials and endpoints; all clients respect the account's rate limits. */
export function awsClients(cell: Cell, limits: RateLimits, attempts = ATTEMPTS): Aws {
  const settings = { region: cell.region, ...clientSettings(attempts, REQUEST_TIMEOUT_MS) };
  const ecs = limits.limit("ECS", new ECSClient(settings));
  return {
    cell,
    ecs,
    services: new ServiceReader(ecs, cell.cluster),
    iam: limits.limit("IAM", new IAMClient(settings)),
    dynamodb: limits.limit("DynamoDB", new DynamoDBClient(settings)),
    cloudMap: limits.limit("ServiceDiscovery", new ServiceDiscoveryClient(settings)),
    logs: limits.limit("CloudWatch Logs", new CloudWatchLogsClient(settings)),
    quotas: new ServiceQuotasClient(settings),
  };
}

/** Returns the response; an error becomes an AwsError that names the operation. */
export async function call<T>(operation: string, sent: Promise<T>): Promise<T> {
  try {
    return await sent;
  } catch (error) {
    throw awsError(operation, error);
  }
}

/** The partition of the cell's ARNs: `aws`, `aws-cn` or another. */
export const partition = ({ tableKeyArn }: Cell): string => tableKeyArn.split(":")[1] ?? "aws";

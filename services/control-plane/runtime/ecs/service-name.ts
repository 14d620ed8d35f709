import {
  CreateServiceCommand,
  DeleteServiceCommand,
  ListServicesCommand,
  type ServiceAlreadyExists,
} from "@aws-sdk/client-servicediscovery";
import { hasAwsCode } from "../../../shared/aws/aws-error.ts";
import { ORG_TAG } from "../../../shared/aws/names.ts";
import { StrongroomError } from "../../../shared/errors.ts";
import { poll } from "../../../shared/poll.ts";
import { type Aws, call, partition } from "./clients.ts";

/** DNS TTL: the longest time that clients miss a replaced task. */
const TTL_SECONDS = 5;
const POLL_MS = 500;
const EMPTY_WITHIN_MS = 90_000;
/** More than any namespace has, at 100 per page. */
const MAX_PAGES = 50;

/** Creates an organization's name in the cell's namespace if it is missing. Returns its service registry's ARN. */
export async function ensureName({ cloudMap, cell }: Aws, org: string): Promise<string> {
  const { Service } = await call(
    `Cloud Map CreateService ${org}`,
    cloudMap
      .send(
        new CreateServiceCommand({
          Name: org,
          NamespaceId: cell.namespaceId,
          // Makes a retry after a lost response return the same service.
          CreatorRequestId: org,
          DnsConfig: { DnsRecords: [{ Type: "A", TTL: TTL_SECONDS }], RoutingPolicy: "MULTIVALUE" },
          HealthCheckCustomConfig: { FailureThreshold: 1 },
          Tags: [{ Key: ORG_TAG, Value: org }],
        }),
      )
      .catch((error: ServiceAlreadyExists) => {
        if (error.name === "ServiceAlreadyExists" && error.ServiceId) {
          return { Service: { Id: error.ServiceId, Arn: undefined } };
        }
        throw error;
      }),
  );
  return (
    Service?.Arn ??
    `arn:${partition(cell)}:servicediscovery:${cell.region}:${cell.account}:service/${Service?.Id}`
  );
}

/** Deletes an organization's name once ECS has removed its last address. */
export async function deleteName(aws: Aws, org: string): Promise<void> {
  const Id = await findName(aws, org);
  if (!Id) return;
  const isDeleted = async () => {
    try {
      await call(`Cloud Map DeleteService ${org}`, aws.cloudMap.send(new DeleteServiceCommand({ Id })));
      return true;
    } catch (error) {
      if (hasAwsCode(error, "ServiceNotFound")) return true;
      if (!hasAwsCode(error, "ResourceInUse")) throw error;
      return undefined;
    }
  };
  if (!(await poll(isDeleted, { everyMs: POLL_MS, withinMs: EMPTY_WITHIN_MS }))) {
    throw new StrongroomError(
      "step_timeout",
      `The Cloud Map name ${org} still has addresses, of ECS or others.`,
    );
  }
}

async function findName({ cloudMap, cell }: Aws, org: string): Promise<string | undefined> {
  let NextToken: string | undefined;
  for (let page = 0; page < MAX_PAGES; page++) {
    const answer = await call(
      "Cloud Map ListServices",
      cloudMap.send(
        new ListServicesCommand({
          Filters: [{ Name: "NAMESPACE_ID", Values: [cell.namespaceId], Condition: "EQ" }],
          MaxResults: 100,
          ...(NextToken && { NextToken }),
        }),
      ),
    );
    const found = answer.Services?.find(({ Name }) => Name === org);
    NextToken = answer.NextToken;
    if (found?.Id || !NextToken) return found?.Id;
  }
  throw new StrongroomError("step_failed", "Cloud Map ListServices: more pages than a namespace can have.");
}

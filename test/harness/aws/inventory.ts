import { CloudWatchLogsClient, DescribeLogGroupsCommand } from "@aws-sdk/client-cloudwatch-logs";
import {
  DynamoDBClient,
  ListTablesCommand,
  ListTagsOfResourceCommand,
  TagResourceCommand,
} from "@aws-sdk/client-dynamodb";
import {
  DescribeServicesCommand,
  DescribeTaskDefinitionCommand,
  ECSClient,
  ListTaskDefinitionsCommand,
  type TaskDefinition,
} from "@aws-sdk/client-ecs";
import { IAMClient, ListRolesCommand } from "@aws-sdk/client-iam";
import { ListServicesCommand, ServiceDiscoveryClient } from "@aws-sdk/client-servicediscovery";
import {
  DeleteParameterCommand,
  GetParameterCommand,
  GetParametersByPathCommand,
  SSMClient,
} from "@aws-sdk/client-ssm";
import type { Cell } from "../../../services/shared/aws/cell.ts";
import { ORG_ROLE_PATH, orgNames } from "../../../services/shared/aws/names.ts";
import { ACCOUNT, clientOf, REGION } from "./cell.ts";

/** What an emulator holds, read past all faults. */
export class Inventory {
  readonly iam: IAMClient;
  readonly ecs: ECSClient;
  readonly dynamodb: DynamoDBClient;
  readonly ssm: SSMClient;
  readonly #cloudMap: ServiceDiscoveryClient;
  readonly #logs: CloudWatchLogsClient;
  readonly #cell: Cell;

  constructor(endpoint: string, cell: Cell) {
    const settings = clientOf(endpoint);
    this.iam = new IAMClient(settings);
    this.ecs = new ECSClient(settings);
    this.dynamodb = new DynamoDBClient(settings);
    this.ssm = new SSMClient(settings);
    this.#cloudMap = new ServiceDiscoveryClient(settings);
    this.#logs = new CloudWatchLogsClient(settings);
    this.#cell = cell;
  }

  /** All that is there of an organization, by name. */
  async of(org: string) {
    const { service, logGroup } = orgNames(org);
    const [roles, definitions, services, names, groups, tables, parameters] = await Promise.all([
      this.iam.send(new ListRolesCommand({ PathPrefix: ORG_ROLE_PATH })),
      this.ecs.send(new ListTaskDefinitionsCommand({ familyPrefix: service })),
      this.ecs.send(new DescribeServicesCommand({ cluster: this.#cell.cluster, services: [service] })),
      this.#cloudMap.send(new ListServicesCommand({})),
      this.#logs.send(new DescribeLogGroupsCommand({ logGroupNamePrefix: logGroup })),
      this.dynamodb.send(new ListTablesCommand({})),
      this.ssm.send(new GetParametersByPathCommand({ Path: `/strongroom/orgs/${org}` })),
    ]);
    return {
      roles: roles.Roles?.map(({ RoleName = "" }) => RoleName).filter((name) => name.includes(org)),
      definitions: definitions.taskDefinitionArns?.length,
      services: services.services?.filter(({ status }) => status !== "INACTIVE").length,
      names: names.Services?.filter(({ Name }) => Name === org).length,
      logGroups: groups.logGroups?.map(({ logGroupName }) => logGroupName),
      tables: tables.TableNames?.filter((name) => name.includes(org)),
      parameters: parameters.Parameters?.map(({ Name }) => Name).sort(),
    };
  }

  /** Every definition that was ever registered and not deleted. */
  async definitions(): Promise<TaskDefinition[]> {
    const arns: string[] = [];
    for (const status of ["ACTIVE", "INACTIVE"] as const) {
      const { taskDefinitionArns = [] } = await this.ecs.send(new ListTaskDefinitionsCommand({ status }));
      arns.push(...taskDefinitionArns);
    }
    const described = arns.map((taskDefinition) =>
      this.ecs.send(new DescribeTaskDefinitionCommand({ taskDefinition, include: ["TAGS"] })),
    );
    return (await Promise.all(described)).map(({ taskDefinition, tags }) => ({ ...taskDefinition, tags }));
  }

  async tableTags(table: string): Promise<Record<string, string>> {
    const { Tags = [] } = await this.dynamodb.send(
      new ListTagsOfResourceCommand({ ResourceArn: tableArn(table) }),
    );
    return Object.fromEntries(Tags.map(({ Key = "", Value = "" }) => [Key, Value]));
  }

  async tagTable(table: string, tags: Record<string, string>): Promise<void> {
    const Tags = Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
    await this.dynamodb.send(new TagResourceCommand({ ResourceArn: tableArn(table), Tags }));
  }

  async parameter(name: string): Promise<string> {
    const { Parameter } = await this.ssm.send(new GetParameterCommand({ Name: name, WithDecryption: true }));
    return Parameter?.Value ?? "";
  }

  async deleteParameter(name: string): Promise<void> {
    await this.ssm.send(new DeleteParameterCommand({ Name: name }));
  }
}

const tableArn = (table: string) => `arn:aws:dynamodb:${REGION}:${ACCOUNT}:table/${table}`;

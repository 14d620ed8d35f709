import { CreateTableCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { CreateClusterCommand, ECSClient } from "@aws-sdk/client-ecs";
import { CreatePolicyCommand, IAMClient } from "@aws-sdk/client-iam";
import {
  CreatePrivateDnsNamespaceCommand,
  ListNamespacesCommand,
  ServiceDiscoveryClient,
} from "@aws-sdk/client-servicediscovery";
import { type Cell, parseCell } from "../../../services/shared/aws/cell.ts";
import { emulated, REGION } from "./emulated.ts";

export { REGION };
/** moto's own. */
export const ACCOUNT = "123456789012";
export const IMAGE = "hashicorp/vault:1.21";
export const NAMESPACE = "orgs.strongroom.test";

/** A cell that exists nowhere, with nothing in it that has a default. */
export const CELL = {
  region: "eu-central-1",
  account: "123456789012",
  cluster: "strongroom-orgs",
  subnets: ["subnet-0a1", "subnet-0b2", "subnet-0c3"],
  securityGroups: ["sg-0d4"],
  namespaceId: "ns-abc123",
  namespaceName: "orgs.strongroom.internal",
  executionPolicyArn: "arn:aws:iam::123456789012:policy/strongroom/execution",
  taskPolicyArn: "arn:aws:iam::123456789012:policy/strongroom/task",
  permissionsBoundaryArn: "arn:aws:iam::123456789012:policy/strongroom/boundary",
  parameterKeyArn: "arn:aws:kms:eu-central-1:123456789012:key/1b5c",
  tableKeyArn: "arn:aws:kms:eu-central-1:123456789012:key/9d2e",
  image: "hashicorp/vault:1.21",
};

/** What the AWS SDK is told by its own variables. The keys open nothing anywhere. */
export const awsEnvironment = (endpoint: string): Record<string, string> => ({
  AWS_ENDPOINT_URL: endpoint,
  AWS_REGION: REGION,
  AWS_ACCESS_KEY_ID: "emulated",
  AWS_SECRET_ACCESS_KEY: "emulated",
});

/** Settings for clients in this process. */
export const clientOf = (endpoint: string) => ({
  endpoint,
  region: REGION,
  credentials: { accessKeyId: "emulated", secretAccessKey: "emulated" },
});

/** Makes in an emulator what the infrastructure makes on AWS, and gives the cell that describes it. */
export async function makeCell(endpoint: string, changes: Partial<Cell> = {}): Promise<Cell> {
  const settings = clientOf(endpoint);
  const cluster = "strongroom-orgs";
  await new ECSClient(settings).send(new CreateClusterCommand({ clusterName: cluster }));
  const iam = new IAMClient(settings);
  const policies = ["execution", "task", "boundary"].map(async (PolicyName) => {
    const PolicyDocument = JSON.stringify({
      Version: "2012-10-17",
      Statement: [{ Effect: "Allow", Action: "sts:GetCallerIdentity", Resource: "*" }],
    });
    const { Policy } = await iam.send(
      new CreatePolicyCommand({ PolicyName, Path: "/strongroom/", PolicyDocument }),
    );
    return Policy?.Arn;
  });
  const [executionPolicyArn, taskPolicyArn, permissionsBoundaryArn] = await Promise.all(policies);
  const cloudMap = new ServiceDiscoveryClient(settings);
  const subnets = await subnetsOf(endpoint);
  await cloudMap.send(new CreatePrivateDnsNamespaceCommand({ Name: NAMESPACE, Vpc: subnets.vpc }));
  const { Namespaces = [] } = await cloudMap.send(new ListNamespacesCommand({}));
  const cell = {
    region: REGION,
    account: ACCOUNT,
    cluster,
    subnets: subnets.ids,
    securityGroups: await securityGroupsOf(endpoint, subnets.vpc),
    namespaceId: Namespaces.find(({ Name }) => Name === NAMESPACE)?.Id,
    namespaceName: NAMESPACE,
    executionPolicyArn,
    taskPolicyArn,
    permissionsBoundaryArn,
    parameterKeyArn: await makeKey(endpoint),
    tableKeyArn: await makeKey(endpoint),
    image: IMAGE,
    ...changes,
  };
  return parseCell(JSON.stringify(cell), "the test's cell");
}

/** The emulator's default network. */
async function subnetsOf(endpoint: string): Promise<{ ids: string[]; vpc: string }> {
  const xml = await ec2(endpoint, { Action: "DescribeSubnets" });
  const ids = [...xml.matchAll(/<subnetId>(.*?)<\/subnetId>/g)].map(([, id = ""]) => id);
  return { ids: ids.slice(0, 3), vpc: /<vpcId>(.*?)<\/vpcId>/.exec(xml)?.[1] ?? "" };
}

async function securityGroupsOf(endpoint: string, vpc: string): Promise<string[]> {
  const xml = await ec2(endpoint, {
    Action: "CreateSecurityGroup",
    GroupName: "tasks",
    GroupDescription: "tasks",
    VpcId: vpc,
  });
  return [/<groupId>(.*?)<\/groupId>/.exec(xml)?.[1] ?? ""];
}

/** A table that Vault can use, for storage or for its lock. */
export async function makeTable(endpoint: string, TableName: string): Promise<void> {
  await new DynamoDBClient(clientOf(endpoint)).send(
    new CreateTableCommand({
      TableName,
      KeySchema: [
        { AttributeName: "Path", KeyType: "HASH" },
        { AttributeName: "Key", KeyType: "RANGE" },
      ],
      AttributeDefinitions: [
        { AttributeName: "Path", AttributeType: "S" },
        { AttributeName: "Key", AttributeType: "S" },
      ],
      BillingMode: "PAY_PER_REQUEST",
    }),
  );
}

/** A customer key; gives its ARN. */
export async function makeKey(endpoint: string): Promise<string> {
  const answer = await emulated(endpoint, "kms", {
    headers: { "content-type": "application/x-amz-json-1.1", "x-amz-target": "TrentService.CreateKey" },
    body: "{}",
  });
  return ((await answer.json()) as { KeyMetadata: { Arn: string } }).KeyMetadata.Arn;
}

const ec2 = async (endpoint: string, form: Record<string, string>) =>
  (await emulated(endpoint, "ec2", { body: new URLSearchParams({ ...form, Version: "2016-11-15" }) })).text();

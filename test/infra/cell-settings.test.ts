import { expect, test } from "vitest";
import { parseCell } from "../../services/shared/aws/cell.ts";
import { ACCOUNT, REGION } from "../harness/aws/cell.ts";
import { synthesize } from "./synthesized.ts";

test("the cell that the control plane is told of is one that it takes, and the one that is deployed", () => {
  const { deployment } = synthesize();
  const container = deployment.resource("StrongroomServices", "AWS::ECS::TaskDefinition", "ControlPlane")
    .properties.ContainerDefinitions[0];
  const text = container.Environment.find(({ Name }: { Name: string }) => Name === "STRONGROOM_CELL").Value;
  const of = (type: string, id: string) => deployment.resource("StrongroomCell", type, id);
  const policyArn = (id: string) =>
    deployment.resolve("StrongroomCell", { Ref: of("AWS::IAM::ManagedPolicy", id).id });

  expect(parseCell(text, "STRONGROOM_CELL")).toMatchObject({
    region: REGION,
    account: ACCOUNT,
    cluster: of("AWS::ECS::Cluster", "Cluster").properties.ClusterName,
    namespaceName: of("AWS::ServiceDiscovery::PrivateDnsNamespace", "Namespace").properties.Name,
    executionPolicyArn: policyArn("ExecutionPolicy"),
    taskPolicyArn: policyArn("TaskPolicy"),
    permissionsBoundaryArn: policyArn("PermissionsBoundary"),
    parameterKeyArn: of("AWS::KMS::Key", "ParameterKey").arn,
    tableKeyArn: of("AWS::KMS::Key", "TableKey").arn,
    launchType: "FARGATE",
  });

  // What the account's quota of vCPU has to leave room for beside organizations.
  const [tasks, services] = ["TaskDefinition", "Service"].map((kind) =>
    deployment.resources(`AWS::ECS::${kind}`),
  );
  const cpu = (tasks ?? []).map(({ properties: { Family, Cpu } }) => {
    const name = Family.replace("strongroom-", "");
    const service = services?.find(({ properties }) => properties.ServiceName === name);
    return Number(Cpu) * (service?.properties.DesiredCount ?? 1);
  });
  expect(parseCell(text, "STRONGROOM_CELL").platformCpu).toBe(cpu.reduce((sum, each) => sum + each, 0));
});

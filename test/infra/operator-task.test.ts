import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { orgNames } from "../../services/shared/aws/names.ts";
import { newOrgId } from "../../services/shared/org.ts";
import { ACCOUNT, REGION } from "../harness/aws/cell.ts";
import { isAllowed, roleOf } from "./iam.ts";
import { synthesize } from "./synthesized.ts";

const { deployment } = synthesize();
const operator = roleOf(deployment, "strongroom-operator");

const GROUP = "/strongroom/platform/internal-vault";
/** As CloudWatch Logs asks IAM about the events of a group. */
const eventsOf = (group: string) => `arn:aws:logs:${REGION}:${ACCOUNT}:log-group:${group}:log-stream:`;

const platformRoles = deployment
  .resources("AWS::IAM::Role")
  .map(({ properties }) => properties.RoleName as string | undefined)
  .filter((name) => name !== undefined);

test("the internal Vault's output, its audit log in it, goes to the log group that the guide has verified", () => {
  const [container] = deployment.resource(
    "StrongroomInternalVault",
    "AWS::ECS::TaskDefinition",
    "TaskDefinition",
  ).properties.ContainerDefinitions;
  expect(container.LogConfiguration).toMatchObject({
    LogDriver: "awslogs",
    Options: { "awslogs-group": GROUP, "awslogs-region": REGION },
  });
  // The shell that writes its files becomes it: its output is the container's.
  expect(container.EntryPoint.at(-1)).toMatch(/\nexec "\$@"$/);
  const groups = deployment.resources("AWS::Logs::LogGroup").map(({ properties }) => properties.LogGroupName);
  expect(groups).toContain(GROUP);
  const guide = readFileSync(new URL("../../docs/aws.md", import.meta.url), "utf8");
  expect(guide).toContain(`audit verify --log-group ${GROUP}`);
});

test("the operator's task reads that log group, no other one, and changes none", () => {
  const may = (action: string, group: string) =>
    isAllowed(operator, { action: `logs:${action}`, resource: eventsOf(group) });
  expect(may("FilterLogEvents", GROUP)).toBe(true);
  const others = [
    "/strongroom/platform/control-plane",
    "/strongroom/platform/gateway",
    "/strongroom/platform/internal-vault-2",
    orgNames(newOrgId()).logGroup,
  ];
  expect(others.filter((group) => may("FilterLogEvents", group))).toEqual([]);
  const more = ["GetLogEvents", "StartQuery", "PutLogEvents", "DeleteLogStream", "DeleteLogGroup", "Unmask"];
  expect(more.filter((action) => may(action, GROUP))).toEqual([]);
});

test("what the operator's task may do is this", () => {
  const actions = operator.policies.flatMap(({ Statement }) => Statement.flatMap(({ Action }) => Action));
  expect(actions.toSorted()).toEqual([
    "kms:Encrypt",
    "logs:FilterLogEvents",
    "ssm:PutParameter",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
  ]);
});

test("nobody but the internal Vault's own task adds to that log group, and no role takes from it", () => {
  const able = (action: string) =>
    platformRoles.filter((name) =>
      isAllowed(roleOf(deployment, name), { action: `logs:${action}`, resource: eventsOf(GROUP) }),
    );
  expect(able("PutLogEvents")).toEqual(["strongroom-internal-vault-execution"]);
  for (const action of ["DeleteLogStream", "DeleteLogGroup", "PutRetentionPolicy"]) {
    expect(able(action)).toEqual([]);
  }
});

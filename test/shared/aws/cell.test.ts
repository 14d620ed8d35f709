import { describe, expect, test } from "vitest";
import { parseCell } from "../../../services/shared/aws/cell.ts";

const GIVEN = {
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

const parse = (changes: object) => parseCell(JSON.stringify({ ...GIVEN, ...changes }), "STRONGROOM_CELL");

describe("parseCell", () => {
  test("fills in what a cell need not say", () => {
    expect(parse({})).toEqual({
      ...GIVEN,
      launchType: "FARGATE",
      spot: false,
      architecture: "ARM64",
      cpu: 256,
      memory: 512,
      logRetentionDays: 365,
    });
  });

  test.each([
    ["an unknown name", { colour: "red" }, /STRONGROOM_CELL: .*colour/],
    ["a missing one", { cluster: undefined }, /STRONGROOM_CELL: .*cluster/],
    ["another service's ARN", { taskPolicyArn: GIVEN.tableKeyArn }, /\/taskPolicyArn/],
    ["AWS's own key", { parameterKeyArn: "alias/aws/ssm" }, /\/parameterKeyArn/],
    ["one key for both", { tableKeyArn: GIVEN.parameterKeyArn }, /\/tableKeyArn is the parameters' key/],
    ["no subnet", { subnets: [] }, /\/subnets/],
    ["Spot on EC2", { spot: true, launchType: "EC2" }, /\/spot is Fargate's/],
  ])("refuses %s", (_, changes, message) => {
    expect(() => parse(changes)).toThrow(message);
  });

  test("refuses what is not JSON, without showing it", () => {
    expect(() => parseCell("{secret", "STRONGROOM_CELL_FILE")).toThrow(
      /^STRONGROOM_CELL_FILE: not valid JSON$/,
    );
  });
});

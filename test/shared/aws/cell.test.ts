import { describe, expect, test } from "vitest";
import { parseCell } from "../../../services/shared/aws/cell.ts";
import { CELL } from "../../harness/aws/cell.ts";

const parse = (changes: object) => parseCell(JSON.stringify({ ...CELL, ...changes }), "STRONGROOM_CELL");

describe("parseCell", () => {
  test("fills in what a cell need not say", () => {
    expect(parse({})).toEqual({
      ...CELL,
      launchType: "FARGATE",
      platformCpu: 5376,
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
    ["another service's ARN", { taskPolicyArn: CELL.tableKeyArn }, /\/taskPolicyArn/],
    ["AWS's own key", { parameterKeyArn: "alias/aws/ssm" }, /\/parameterKeyArn/],
    [
      "one key for both",
      { tableKeyArn: CELL.parameterKeyArn },
      /\/tableKeyArn must differ from \/parameterKeyArn/,
    ],
    ["no subnet", { subnets: [] }, /\/subnets/],
    ["Spot on EC2", { spot: true, launchType: "EC2" }, /\/spot is only for Fargate/],
  ])("refuses %s", (_, changes, message) => {
    expect(() => parse(changes)).toThrow(message);
  });

  test("refuses what is not JSON, without showing it", () => {
    expect(() => parseCell("{secret", "STRONGROOM_CELL_FILE")).toThrow(
      /^STRONGROOM_CELL_FILE: not valid JSON$/,
    );
  });
});

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { type Cost, costPer1000Uses, costPerMonthIdle, PRICES } from "../bench/credentials-cost.ts";
import { synthesize } from "./synthesized.ts";

const guide = readFileSync(new URL("../../docs/credentials.md", import.meta.url), "utf8");
const { deployment } = synthesize();

/** A row of the guide's table: the parts' costs in its order. */
const row = (name: string) =>
  new RegExp(`^\\| ${name} \\|(.*)\\|$`, "m")
    .exec(guide)?.[1]
    ?.split("|")
    .map((cell) => cell.trim());
const cells = ({ kms, sqs, dynamoDb, fargate, network, total }: Cost, digits: number) =>
  [kms, sqs, dynamoDb, fargate, network, total].map((cost) => `$${cost.toFixed(digits)}`);

test("the guide's costs are the computed ones, with the date of their prices", () => {
  expect(row("1,000 uses")).toEqual(cells(costPer1000Uses(), 4));
  expect(row("a month, unused")).toEqual(cells(costPerMonthIdle(), 0));
  expect(guide).toContain(PRICES.writtenDown);
});

test("a measured number replaces an assumed one", () => {
  const cost = costPer1000Uses({ kmsRequests: 0, jobsPerSecond: 100 });
  expect(cost.kms).toBe(0);
  expect(cost.fargate).toBeCloseTo(2 * costPer1000Uses().fargate, 10);
  expect(cost.total).toBeCloseTo(cost.sqs + cost.dynamoDb + cost.fargate + cost.network, 10);
  expect(costPerMonthIdle({ natGateways: 1 }).network).toBeLessThan(costPerMonthIdle().network);
});

test("what is computed is what the templates have: tasks, gateways, endpoints, keys", () => {
  const ours = (stack: string) => /^Strongroom(Worker|Intake)/.test(stack);
  const of = (type: string) => deployment.resources(type).filter(({ stack }) => ours(stack));
  for (const { properties } of of("AWS::ECS::TaskDefinition")) {
    expect(properties).toMatchObject({ Cpu: "1024", Memory: "2048" });
    expect(properties.RuntimePlatform.CpuArchitecture).toBe("ARM64");
  }
  expect(of("AWS::ECS::Service").map(({ properties }) => properties.DesiredCount)).toEqual([2, 2, 2, 2]);
  expect(of("AWS::EC2::NatGateway")).toHaveLength(9);
  expect(
    of("AWS::EC2::VPCEndpoint").filter(({ properties }) => properties.VpcEndpointType === "Interface"),
  ).toHaveLength(14);
  expect(of("AWS::KMS::Key")).toHaveLength(3);
});

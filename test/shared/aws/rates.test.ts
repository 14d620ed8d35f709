import { expect, test } from "vitest";
import { GcraQueue, rateOf } from "../../../services/shared/aws/rates.ts";

test("a burst goes at once, the rest at the rate, in the order of asking", () => {
  let now = 0;
  const bucket = new GcraQueue({ burst: 3, perSecond: 2 }, () => now);
  expect(Array.from({ length: 6 }, () => bucket.take())).toEqual([0, 0, 0, 500, 1_000, 1_500]);
  now = 1_500;
  expect(bucket.take()).toBe(500);
  now = 60_000;
  expect(Array.from({ length: 4 }, () => bucket.take())).toEqual([0, 0, 0, 500]);
});

test.each([
  ["ECS", "RegisterTaskDefinition", "ecs-task-definition"],
  ["ECS", "DeregisterTaskDefinition", "ecs-task-definition"],
  ["ECS", "UpdateService", "ecs-service"],
  ["ECS", "DescribeTasks", "ecs-read"],
  ["SSM", "PutParameter", "ssm-write"],
  ["SSM", "GetParameter", "ssm-read"],
  ["IAM", "CreateRole", "iam"],
  ["DynamoDB", "TagResource", "dynamodb-tag"],
  ["DynamoDB", "ListTagsOfResource", "dynamodb-read-tags"],
  ["DynamoDB", "DescribeTable", undefined],
  ["S3", "GetObject", undefined],
])("%s %s counts against %s", (client, operation, rate) => {
  expect(rateOf(client, operation)).toBe(rate);
});

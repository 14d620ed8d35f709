import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isSamePolicy } from "../../../../services/control-plane/runtime/ecs/trust-policy.ts";
import { asIamReturnsIt } from "../../../harness/aws/iam-documents.ts";

const statement = {
  Effect: "Allow",
  Principal: { Service: "ecs-tasks.amazonaws.com" },
  Action: "sts:AssumeRole",
  Condition: {
    StringEquals: { "aws:SourceAccount": "123456789012" },
    ArnLike: { "aws:SourceArn": "arn:aws:ecs:eu-central-1:123456789012:*" },
  },
};
const document = { Version: "2012-10-17", Statement: [statement] };
const given = JSON.stringify(document);
const changed = (change: object) => JSON.stringify({ ...document, Statement: [{ ...statement, ...change }] });

describe("a trust policy", () => {
  test("is the same in every form that IAM returns it in", () => {
    fc.assert(
      fc.property(fc.infiniteStream(fc.boolean()), (choices) => {
        const returned = asIamReturnsIt(given, () => choices.next().value);
        expect(JSON.parse(returned)).toBeTypeOf("object");
        expect(isSamePolicy(returned, given)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test.each([
    ["a label", changed({ Sid: "" }), given],
    ["one statement that is no list", JSON.stringify({ ...document, Statement: statement }), given],
    [
      "an account and its root",
      changed({ Principal: { AWS: "123456789012" } }),
      changed({ Principal: { AWS: ["arn:aws:iam::123456789012:root"] } }),
    ],
    ["everyone", changed({ Principal: "*" }), changed({ Principal: { AWS: ["*"] } })],
    [
      "a boolean",
      changed({ Condition: { Bool: { "aws:SecureTransport": true } } }),
      changed({ Condition: { Bool: { "aws:SecureTransport": ["true"] } } }),
    ],
    [
      "services in another order",
      changed({ Principal: { Service: ["b.amazonaws.com", "a.amazonaws.com"] } }),
      changed({ Principal: { Service: ["a.amazonaws.com", "b.amazonaws.com"] } }),
    ],
  ])("means the same with %s", (_, one, other) => {
    expect(isSamePolicy(one, other)).toBe(true);
    expect(isSamePolicy(other, one)).toBe(true);
  });

  test.each([
    ["another version", JSON.stringify({ ...document, Version: "2008-10-17" })],
    ["no version", JSON.stringify({ Statement: [statement] })],
    ["a second statement", JSON.stringify({ ...document, Statement: [statement, { Effect: "Allow" }] })],
    ["no statement", JSON.stringify({ ...document, Statement: [] })],
    ["another service", changed({ Principal: { Service: "ec2.amazonaws.com" } })],
    [
      "one service more",
      changed({ Principal: { Service: ["ecs-tasks.amazonaws.com", "ec2.amazonaws.com"] } }),
    ],
    [
      "an account beside the service",
      changed({ Principal: { ...statement.Principal, AWS: "123456789012" } }),
    ],
    ["a service that is said to be an account", changed({ Principal: { AWS: "ecs-tasks.amazonaws.com" } })],
    ["everyone", changed({ Principal: "*" })],
    ["all but the service", changed({ Principal: undefined, NotPrincipal: statement.Principal })],
    ["one action more", changed({ Action: ["sts:AssumeRole", "sts:TagSession"] })],
    ["a denial", changed({ Effect: "Deny" })],
    ["no condition", changed({ Condition: undefined })],
    ["half the condition", changed({ Condition: { StringEquals: statement.Condition.StringEquals } })],
    [
      "another operator",
      changed({
        Condition: { StringLike: statement.Condition.StringEquals, ArnLike: statement.Condition.ArnLike },
      }),
    ],
    [
      "one more account",
      changed({
        Condition: {
          ...statement.Condition,
          StringEquals: { "aws:SourceAccount": ["123456789012", "210987654321"] },
        },
      }),
    ],
    ["nothing", ""],
    ["no JSON", "{"],
  ])("differs from one with %s", (_, other) => {
    expect(isSamePolicy(given, other)).toBe(false);
    expect(isSamePolicy(other, given)).toBe(false);
  });
});

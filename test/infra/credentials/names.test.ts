import { describe, expect, test } from "vitest";
import { containerOf, environmentOf } from "./containers.ts";
import { apart, beforeTheKey, FEED_ACCOUNT, WORKERS_ACCOUNT } from "./several-accounts.ts";

describe("workers in accounts of their own", () => {
  test("have everything of theirs there, and the intake finds it", () => {
    const intake = environmentOf(apart, "intake");
    const worker = environmentOf(apart, "worker-integration");
    const url = `sqs:https://sqs.eu-central-1.amazonaws.com/${WORKERS_ACCOUNT}/strongroom-integration-`;
    expect(worker.STRONGROOM_QUEUES).toBe(url);
    expect(intake.STRONGROOM_INTEGRATION_QUEUES).toBe(url);
    expect(intake.STRONGROOM_INTEGRATION_KEY).toBe(worker.STRONGROOM_KEY);
    expect(worker.STRONGROOM_KEY).toContain(`:${WORKERS_ACCOUNT}:key/`);
    expect(intake.STRONGROOM_FEED_QUEUES).toContain(`/${FEED_ACCOUNT}/strongroom-feed-`);
    expect(containerOf(apart, "worker-integration").Image).toMatch(/^123456789012\.dkr\.ecr\./);
  });

  test("refer to no other stack, in either direction", () => {
    const text = JSON.stringify(
      ["StrongroomWorkerIntegration", "StrongroomWorkerFeed"].map((stack) => apart.templates[stack]),
    );
    expect(text).not.toContain("Fn::ImportValue");
    for (const stack of ["StrongroomWorkerIntegration", "StrongroomWorkerFeed"]) {
      const exported = Object.values(apart.templates[stack]?.Outputs ?? {}).filter(({ Export }) => Export);
      expect(exported).toEqual([]);
    }
  });

  test("come first: the intake's stack is there once the settings name the key", () => {
    expect(Object.keys(beforeTheKey.templates)).toContain("StrongroomWorkerIntegration");
    expect(Object.keys(beforeTheKey.templates)).not.toContain("StrongroomIntake");
    expect(Object.keys(apart.templates)).toContain("StrongroomIntake");
    const { KeyArn } = beforeTheKey.templates.StrongroomWorkerIntegration?.Outputs ?? {};
    expect(beforeTheKey.resolve("StrongroomWorkerIntegration", KeyArn?.Value ?? null)).toBe(
      apart.resource("StrongroomWorkerIntegration", "AWS::KMS::Key").arn,
    );
  });
});

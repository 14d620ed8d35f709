import { describe, expect, test } from "vitest";
import { givenSettings, synthesize } from "../synthesized.ts";
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

describe("the broker in an account of its own", () => {
  const { credentials } = givenSettings();
  const link = (n: number) => `com.amazonaws.vpce.eu-central-1.vpce-svc-${String(n).repeat(17)}`;
  const platformKeyArn = `arn:aws:kms:eu-central-1:${WORKERS_ACCOUNT}:key/00000000-0000-0000-0000-000000000000`;
  const elsewhere = {
    ...credentials,
    intakeRoleArn: "arn:aws:iam::123456789012:role/strongroom/platform/strongroom-intake",
    broker: {
      ...credentials.broker,
      account: WORKERS_ACCOUNT,
      directoryServiceName: link(1),
      platformKeyArn,
    },
  };
  const before = synthesize({ credentials: elsewhere }).deployment;
  const keyArn = before.resource("StrongroomWorkerBroker", "AWS::KMS::Key", "Key").arn;
  const broker = { ...elsewhere.broker, keyArn, serviceName: link(2) };
  const after = synthesize({ credentials: { ...elsewhere, broker } }).deployment;

  test("admits endpoints of the intake's account, and the control plane's entrance those of the broker's", () => {
    const consumers = (stack: string) =>
      after.resource(stack, "AWS::EC2::VPCEndpointServicePermissions").properties.AllowedPrincipals;
    expect(consumers("StrongroomWorkerBroker")).toEqual(["arn:aws:iam::123456789012:root"]);
    expect(consumers("StrongroomServices")).toEqual([`arn:aws:iam::${WORKERS_ACCOUNT}:root`]);
  });

  test("is linked by the services that the settings name, and its stack refers to no other one", () => {
    const linked = (stack: string) =>
      after
        .resources("AWS::EC2::VPCEndpoint")
        .filter((each) => each.stack === stack)
        .map(({ properties }) => properties.ServiceName)
        .filter((name) => name.includes("vpce-svc"));
    expect(linked("StrongroomWorkerBroker")).toEqual([link(1)]);
    expect(linked("StrongroomIntake")).toEqual([link(2)]);
    expect(JSON.stringify(after.templates.StrongroomWorkerBroker)).not.toContain("Fn::ImportValue");
    expect(Object.keys(before.templates)).not.toContain("StrongroomIntake");
  });
});

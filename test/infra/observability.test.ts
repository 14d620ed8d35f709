import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { ALARMING_LINES } from "../../infra/cdk/observability.ts";
import type { Statement } from "./iam.ts";
import { synthesize } from "./synthesized.ts";

const { deployment } = synthesize();
const SOURCES = fileURLToPath(new URL("../../services/control-plane", import.meta.url));

describe("alarms", () => {
  test.each(
    Object.entries(ALARMING_LINES),
  )("%s come of a line that the control plane logs", (id, message) => {
    const source = readdirSync(SOURCES, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts"))
      .map((file) => readFileSync(join(SOURCES, file), "utf8"))
      .join("\n");
    expect(source).toContain(`"${message}"`);
    const filter = deployment.resource("StrongroomObservability", "AWS::Logs::MetricFilter", id);
    expect(filter.properties).toMatchObject({
      LogGroupName: "/strongroom/platform/control-plane",
      FilterPattern: `{ $.msg = "${message}" }`,
      MetricTransformations: [{ MetricName: id, MetricNamespace: "Strongroom", MetricValue: "1" }],
    });
  });

  test("all go to one encrypted topic", () => {
    const [topic] = deployment.resources("AWS::SNS::Topic");
    expect(topic?.properties.KmsMasterKeyId).toBeDefined();
    const reference = deployment.resolve(topic?.stack ?? "", { Ref: topic?.id ?? "" });
    const [policy] = deployment.resources("AWS::SNS::TopicPolicy");
    const publishers = (policy?.properties.PolicyDocument.Statement as Statement[])
      .filter(({ Effect, Action }) => Effect === "Allow" && Action === "sns:Publish")
      .map(({ Principal }) => (Principal as { Service: string }).Service);
    expect(publishers).toEqual(expect.arrayContaining(["cloudwatch.amazonaws.com", "events.amazonaws.com"]));
    const alarms = deployment.resources("AWS::CloudWatch::Alarm");
    expect(alarms.map(({ properties }) => properties.MetricName).toSorted()).toEqual(
      [
        ...Object.keys(ALARMING_LINES),
        ...Array(4).fill("ApproximateNumberOfMessagesVisible"),
        "HTTPCode_ELB_5XX_Count",
        "HTTPCode_Target_5XX_Count",
        "MatchedEvents",
        "RunningTaskCount",
        "RunningTaskCount",
      ].toSorted(),
    );
    for (const { properties } of alarms) expect(properties.AlarmActions).toEqual([reference]);
  });
});

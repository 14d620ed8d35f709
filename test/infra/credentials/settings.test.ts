import { describe, expect, test } from "vitest";
import { readSettings } from "../../../infra/cdk/settings.ts";
import { givenSettings } from "../synthesized.ts";

const WORKERS_ACCOUNT = "210987654321";
const FEED_ACCOUNT = "345678901234";

describe("the settings of credentials", () => {
  const intakeRoleArn = "arn:aws:iam::123456789012:role/strongroom/platform/strongroom-intake";
  const keyArn = `arn:aws:kms:eu-central-1:${WORKERS_ACCOUNT}:key/00000000-0000-0000-0000-000000000000`;

  const directoryServiceName = "com.amazonaws.vpce.eu-central-1.vpce-svc-0123456789abcdef0";

  test("have defaults: all in one account", () => {
    expect(readSettings({ ...givenSettings(), credentials: undefined }).credentials).toEqual({
      intakes: 2,
      integration: { tasks: 2, natGateways: 3 },
      webhook: { tasks: 2, natGateways: 3 },
      feed: { tasks: 2, natGateways: 3 },
      broker: { tasks: 2, natGateways: 3 },
    });
  });

  test("are complete with an account, the intake's role and a key", () => {
    const credentials = {
      intakeRoleArn,
      integration: { account: WORKERS_ACCOUNT, keyArn },
      webhook: { tasks: 1 },
    };
    expect(readSettings({ ...givenSettings(), credentials }).credentials).toMatchObject(credentials);
  });

  test.each([
    [
      "an account without the intake's role",
      { feed: { account: FEED_ACCOUNT } },
      "set credentials/intakeRoleArn",
    ],
    ["the intake's own account", { intakeRoleArn, feed: { account: "123456789012" } }, "own account"],
    ["a key without an account", { intakeRoleArn, webhook: { keyArn } }, "webhook/keyArn: set it only"],
    [
      "a key of another account",
      { intakeRoleArn, webhook: { account: FEED_ACCOUNT, keyArn } },
      `its account is not ${FEED_ACCOUNT}`,
    ],
    ["a key for feeds", { intakeRoleArn, feed: { account: FEED_ACCOUNT, keyArn } }, "keyArn"],
    ["another role", { intakeRoleArn: "arn:aws:iam::123456789012:role/Other" }, "/credentials/intakeRoleArn"],
    ["a kind that is none", { other: {} }, "other"],
    [
      "a broker elsewhere that reaches no directory",
      { intakeRoleArn, broker: { account: WORKERS_ACCOUNT } },
      "set directoryServiceName and platformKeyArn",
    ],
    [
      "a broker elsewhere that has a key and cannot be reached",
      {
        intakeRoleArn,
        broker: { account: WORKERS_ACCOUNT, keyArn, directoryServiceName, platformKeyArn: keyArn },
      },
      "set keyArn and serviceName together",
    ],
    [
      "a broker's service without an account",
      { broker: { serviceName: directoryServiceName } },
      "serviceName: set it only",
    ],
  ])("with %s are refused, and the reason names it", (_, credentials, reason) => {
    expect(() => readSettings({ ...givenSettings(), credentials })).toThrow(reason);
  });
});

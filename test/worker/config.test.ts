import { describe, expect, test } from "vitest";
import { ConfigError } from "../../services/shared/config.ts";
import { readSettings, usesAws } from "../../services/worker/config.ts";

const FEED = { STRONGROOM_KIND: "feed", STRONGROOM_QUEUES: "local:/var/strongroom/queues/feed" };
const INTEGRATION = {
  STRONGROOM_KIND: "integration",
  STRONGROOM_QUEUES: "local:/var/strongroom/queues/integration",
  STRONGROOM_KEY: "transit:integration",
};
const KMS = "kms:arn:aws:kms:eu-central-1:123456789012:key/0a1b";

describe("settings", () => {
  test("have defaults", () => {
    expect(readSettings(INTEGRATION)).toEqual({
      ...INTEGRATION,
      STRONGROOM_CONCURRENCY: 16,
      STRONGROOM_MAX_JOBS: 10_000,
      STRONGROOM_VISIBILITY_SECONDS: 60,
      STRONGROOM_LOG_LEVEL: "info",
    });
  });

  test.each([
    ["an unknown one", { ...FEED, STRONGROOM_STORE: "sqlite:/a" }, "STRONGROOM_STORE: unknown setting"],
    ["no kind", { STRONGROOM_QUEUES: "local:/a" }, "STRONGROOM_KIND: missing"],
    ["another kind", { ...FEED, STRONGROOM_KIND: "broker" }, "STRONGROOM_KIND"],
    ["no queues", { STRONGROOM_KIND: "feed" }, "STRONGROOM_QUEUES: missing"],
    [
      "no key",
      { ...INTEGRATION, STRONGROOM_KEY: undefined },
      "STRONGROOM_KEY: missing. The kind integration requires it",
    ],
    ["another form of key", { ...INTEGRATION, STRONGROOM_KEY: "file:/a" }, "STRONGROOM_KEY"],
    ["no concurrency", { ...FEED, STRONGROOM_CONCURRENCY: "0" }, "STRONGROOM_CONCURRENCY"],
  ])("%s", (_, env: Record<string, string | undefined>, message) => {
    expect(() => readSettings(env)).toThrow(ConfigError);
    expect(() => readSettings(env)).toThrow(message);
  });

  test.each([
    "STRONGROOM_KEY",
    "STRONGROOM_INTERNAL_VAULT_ADDR",
    "STRONGROOM_INTERNAL_VAULT_CA_FILE",
    "STRONGROOM_ROLE_ID_FILE",
    "STRONGROOM_SECRET_ID_FILE",
  ])("a feed worker refuses %s", (name) => {
    const value = { STRONGROOM_KEY: KMS, STRONGROOM_INTERNAL_VAULT_ADDR: "http://127.0.0.1:1" }[name] ?? "/a";
    expect(() => readSettings({ ...FEED, [name]: value })).toThrow(`${name}: a feed worker must not have it`);
  });

  test("the AWS SDK's own are kept only if it is used", () => {
    expect(usesAws(readSettings(INTEGRATION))).toBe(false);
    expect(usesAws(readSettings({ ...INTEGRATION, STRONGROOM_KEY: KMS }))).toBe(true);
    expect(usesAws(readSettings({ ...FEED, STRONGROOM_QUEUES: "sqs:https://sqs.eu/1/feed-" }))).toBe(true);
  });
});

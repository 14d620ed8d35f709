import { describe, expect, test } from "vitest";
import { ConfigError } from "../../services/shared/config.ts";
import { isBroker, readSettings, usesAws } from "../../services/worker/config.ts";

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
    ["another kind", { ...FEED, STRONGROOM_KIND: "gateway" }, "STRONGROOM_KIND"],
    ["a listener of another kind", { ...INTEGRATION, STRONGROOM_LISTEN: "127.0.0.1:1" }, "unknown setting"],
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

  test("the kind broker has a listener, the intakes' certificates and what verifies callers", () => {
    const broker = {
      STRONGROOM_KIND: "broker",
      STRONGROOM_QUEUES: "local:/var/strongroom/queues/broker",
      STRONGROOM_KEY: "transit:broker",
      STRONGROOM_LISTEN: "127.0.0.1:8240",
      STRONGROOM_TLS_CERTIFICATE_FILE: "/a",
      STRONGROOM_TLS_KEY_FILE: "/b",
      STRONGROOM_INTAKE_CERTIFICATES_FILE: "/c",
      STRONGROOM_DIRECTORY_URL: "http://127.0.0.1:1/v1/directory",
      STRONGROOM_DIRECTORY_KEY_FILE: "/d",
      STRONGROOM_OWNERSHIP_KEY_FILE: "/e",
      STRONGROOM_DIRECTORY_COPY: "/f",
      STRONGROOM_REVOCATIONS_URL: "http://127.0.0.1:1/v1/revocations",
      STRONGROOM_REVOCATIONS_COPY: "/g",
    };
    const settings = readSettings(broker);
    expect(isBroker(settings)).toBe(true);
    expect(settings).toMatchObject({ ...broker, STRONGROOM_MAX_TOKEN_LIFETIME_SECONDS: 3600 });
    for (const name of Object.keys(broker).slice(2)) {
      expect(() => readSettings({ ...broker, [name]: undefined }), name).toThrow(`${name}: missing`);
    }
    expect(isBroker(readSettings(INTEGRATION))).toBe(false);
  });

  test("the AWS SDK's own are kept only if it is used", () => {
    expect(usesAws(readSettings(INTEGRATION))).toBe(false);
    expect(usesAws(readSettings({ ...INTEGRATION, STRONGROOM_KEY: KMS }))).toBe(true);
    expect(usesAws(readSettings({ ...FEED, STRONGROOM_QUEUES: "sqs:https://sqs.eu/1/feed-" }))).toBe(true);
  });
});

import { describe, expect, test } from "vitest";
import { valueBytes } from "../../../services/intake/credentials/check-value.ts";
import type { Grant } from "../../../services/shared/broker/grant.ts";
import type { BrokerPolicy } from "../../../services/shared/broker/policy.ts";

test.each([
  ["7 bytes", "1234567", "invalid_value"],
  ["nothing", "", "invalid_value"],
  ["more than 64 KiB", "x".repeat(65_537), "body_too_large"],
  ["a line break", "12345678\r\nHost: evil", "invalid_value"],
  ["a final line break", "12345678\n", "invalid_value"],
  ["a space at its end", "12345678 ", "invalid_value"],
  ["a character that no header carries", "pässword-1", "invalid_value"],
  ["a lone surrogate", "12345678\ud800", "invalid_value"],
])("a value with %s is refused", (_, value, code) => {
  expect(() => valueBytes(value)).toThrow(expect.objectContaining({ code }));
});

test.each(["12345678", "x".repeat(65_536), "with spaces within"])("any other is taken: %#", (value) => {
  expect(Buffer.from(valueBytes(value)).toString()).toBe(value);
});

const policy = (changes: Partial<BrokerPolicy>): BrokerPolicy => ({
  origin: "https://api.example.com",
  ...{ inject: { header: "X-Key", format: "{}" }, rules: [] },
  ...changes,
});
const pem = `-----BEGIN PRIVATE KEY-----\n${"MIGH".repeat(20)}\n-----END PRIVATE KEY-----\n`;
const aws = JSON.stringify({ accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "x".repeat(40) });
const jwt = (algorithm: "ES256" | "HS256") => ({
  jwt: { header: "Authorization", format: "Bearer {}", algorithm, claims: {}, lifetimeSeconds: 60 },
});
const who = { level: "writer" as const };
const refresh: Extract<Grant, { type: "refresh_token" }> = {
  ...{ endpoint: "https://a.example.com/t", clientId: "c", clientAuth: "none" as const },
  ...{ type: "refresh_token", scopes: [], who, lifetimeSeconds: 60 },
};
const token = { token: { header: "Authorization", format: "Bearer {}" } };

describe("for the broker, a value has the form that its policy needs", () => {
  test.each<[string, Partial<BrokerPolicy>, string]>([
    ["text for a header", {}, "sk-live-12345678"],
    ["an access key of AWS", { inject: { sigv4: { service: "s3", region: "eu-central-1" } } }, aws],
    ["a private key", { inject: jwt("ES256") }, pem],
    ["a secret for HS256", { inject: jwt("HS256") }, "a sëcret\nof two lines"],
    ["a refresh token", { inject: token, grant: refresh }, JSON.stringify({ refreshToken: "r".repeat(20) })],
  ])("%s", (_, changes, value) => {
    expect(Buffer.from(valueBytes(value, policy(changes))).toString()).toBe(value);
  });

  test.each<[string, Partial<BrokerPolicy>, string]>([
    ["a line break for a header", {}, "sk-live\n12345678"],
    ["a private key for a header", {}, pem],
    [
      "text for an access key",
      { inject: { sigv4: { service: "s3", region: "eu-central-1" } } },
      "AKIAIOSFODNN7EXAMPLE",
    ],
    [
      "an access key with more",
      { inject: { sigv4: { service: "s3", region: "r" } } },
      aws.replace("{", '{"x":1,'),
    ],
    [
      "a certificate for a private key",
      { inject: jwt("ES256") },
      pem.replaceAll("PRIVATE KEY", "CERTIFICATE"),
    ],
    ["two keys for one", { inject: jwt("ES256") }, pem + pem],
    ["text for a refresh token", { inject: token, grant: refresh }, "r".repeat(20)],
  ])("not %s", (_, changes, value) => {
    const refused = () => valueBytes(value, policy(changes));
    expect(refused).toThrow(expect.objectContaining({ code: "invalid_value" }));
    expect(refused).not.toThrow(value.slice(0, 12));
  });
});

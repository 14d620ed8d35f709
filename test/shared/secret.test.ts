import { format, inspect } from "node:util";
import { expect, test } from "vitest";
import { createLogger } from "../../services/shared/log.ts";
import { Secret } from "../../services/shared/secret.ts";

const TEXT = "hvs.canary-in-a-secret";
const secret = new Secret(TEXT);

test("only reveal gives the text", () => {
  expect(secret.reveal()).toBe(TEXT);
});

test.each([
  ["interpolation", () => `${secret}`],
  ["concatenation", () => `a${String(secret)}`],
  ["JSON", () => JSON.stringify({ secret, list: [secret] })],
  ["inspect", () => inspect({ secret }, { depth: 9, showHidden: true })],
  ["format", () => format("%s %o %j", secret, secret, secret)],
  ["own keys", () => JSON.stringify(Object.entries(secret))],
  ["spread", () => JSON.stringify({ ...secret })],
  ["an error's message", () => String(new Error(`failed with ${secret}`))],
])("%s does not", (_name, render) => {
  expect(render()).not.toContain(TEXT);
});

test.each([
  ["interpolation", () => `${secret}`],
  ["toString", () => secret.toString()],
  ["JSON", () => JSON.parse(JSON.stringify(secret))],
  ["inspect", () => inspect(secret)],
])("%s says that there is a secret", (_name, render) => {
  expect(render()).toBe("[secret]");
});

test("the logger does not, and hides token-like fields by name too", () => {
  const lines: string[] = [];
  const logger = createLogger("test", "info", { write: (line: string) => void lines.push(line) });
  logger.info({ secret, token: TEXT, headers: { authorization: TEXT, "x-vault-token": TEXT } }, "logged");
  expect(lines).toHaveLength(1);
  expect(lines[0]).not.toContain(TEXT);
  expect(lines[0]).toContain("[secret]");
});

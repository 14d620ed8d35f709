import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Type } from "typebox";
import { afterAll, expect, test } from "vitest";
import { ConfigError, readConfig, readSecretFile, SecretFile } from "../../services/shared/config.ts";

const schema = Type.Object({
  STRONGROOM_PORT: Type.Integer({ minimum: 0, maximum: 65535, description: "The port to listen on" }),
  STRONGROOM_NAME: Type.String({ description: "The name" }),
  STRONGROOM_QUIET: Type.Optional(Type.Boolean()),
  STRONGROOM_LEVEL: Type.Optional(Type.String({ default: "info" })),
  STRONGROOM_KEY_FILE: Type.Optional(SecretFile("The key")),
});
const given = { STRONGROOM_PORT: "8200", STRONGROOM_NAME: "a" };
const folder = mkdtempSync(join(tmpdir(), "strongroom-config-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("values are converted, defaults filled in, foreign names ignored", () => {
  expect(readConfig({ ...given, STRONGROOM_QUIET: "true", PATH: "/bin" }, schema)).toEqual({
    STRONGROOM_PORT: 8200,
    STRONGROOM_NAME: "a",
    STRONGROOM_QUIET: true,
    STRONGROOM_LEVEL: "info",
  });
});

test.each([
  ["an unknown setting", { ...given, STRONGROOM_PROT: "1" }, /STRONGROOM_PROT: unknown setting/],
  ["a missing one", { STRONGROOM_PORT: "1" }, /STRONGROOM_NAME: missing\. The name/],
  ["an empty one", { ...given, STRONGROOM_NAME: "" }, /STRONGROOM_NAME: missing/],
  ["a word for a number", { ...given, STRONGROOM_PORT: "many" }, /STRONGROOM_PORT: must be integer/],
  ["one out of range", { ...given, STRONGROOM_PORT: "70000" }, /STRONGROOM_PORT: must be <= 65535/],
])("%s stops with a line that names it", (_name, env, line) => {
  expect(() => readConfig(env, schema)).toThrow(ConfigError);
  expect(() => readConfig(env, schema)).toThrow(line);
});

test("every problem gets its line, and no value is repeated", () => {
  try {
    readConfig({ STRONGROOM_PORT: "hunter2", STRONGROOM_X: "hunter2" }, schema);
    expect.unreachable();
  } catch (error) {
    const { message } = error as Error;
    expect(message.split("\n")).toHaveLength(3);
    expect(message).not.toContain("hunter2");
  }
});

test("a secret file is read without its line end; a missing or an empty one is named", () => {
  const path = join(folder, "key");
  writeFileSync(path, "s3cret\n");
  expect(readSecretFile(path, "STRONGROOM_KEY_FILE").reveal()).toBe("s3cret");
  writeFileSync(path, " \n");
  expect(() => readSecretFile(path, "STRONGROOM_KEY_FILE")).toThrow(/STRONGROOM_KEY_FILE: .* is empty/);
  expect(() => readSecretFile(`${path}.no`, "STRONGROOM_KEY_FILE")).toThrow(
    /STRONGROOM_KEY_FILE: cannot read .*ENOENT/,
  );
});

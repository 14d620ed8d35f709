import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Config, readIssuers, runtimeSettings } from "../../services/control-plane/config.ts";
import { ConfigError, readConfig } from "../../services/shared/config.ts";
import { CELL } from "../harness/aws/cell.ts";
import { ISSUER_ENTRY } from "../harness/tokens.ts";

const good = {
  STRONGROOM_LISTEN: "127.0.0.1:0",
  STRONGROOM_INTERNAL_VAULT_ADDR: "http://127.0.0.1:8210",
  STRONGROOM_ROLE_ID_FILE: "role-id",
  STRONGROOM_SECRET_ID_FILE: "secret-id",
  STRONGROOM_CA_FILE: "ca.pem",
  STRONGROOM_PARAMETERS: "local:parameters",
  STRONGROOM_INSTANCES_DIR: "instances",
  STRONGROOM_ISSUERS_FILE: "issuers.json",
  STRONGROOM_OPERATOR_AUDIENCE: "https://strongroom.test/control-plane",
  STRONGROOM_RECOVERY_KEY_FILE: "recovery.asc",
};

test("the least that must be said is enough", () => {
  expect(readConfig(good, Config)).toMatchObject({
    STRONGROOM_RUNTIME: "process",
    STRONGROOM_PARAMETER_PREFIX: "/strongroom",
    STRONGROOM_CERTIFICATE_SECONDS: 30 * 24 * 3600,
    STRONGROOM_RECONCILE_SECONDS: 15,
  });
});

test.each(Object.keys(good))("without %s it does not start", (name) => {
  expect(() => runtimeSettings(readConfig({ ...good, [name]: undefined }, Config))).toThrow(name);
});

const runtimeOf = (settings: Record<string, string>) =>
  runtimeSettings(
    readConfig({ ...good, STRONGROOM_RUNTIME: "ecs", STRONGROOM_PARAMETERS: "ssm", ...settings }, Config),
  );

test("a cell comes from a file, or is the setting itself", async () => {
  const cell = JSON.stringify(CELL);
  const path = join(folder, "cell.json");
  await writeFile(path, cell);
  const read = { kind: "ecs", cell: expect.objectContaining({ ...CELL, launchType: "FARGATE" }) };
  expect(runtimeOf({ STRONGROOM_CELL: cell })).toEqual(read);
  expect(runtimeOf({ STRONGROOM_CELL_FILE: path })).toEqual(read);
});

test.each([
  ["without a cell", {}, /STRONGROOM_CELL_FILE or STRONGROOM_CELL/],
  ["with two", { STRONGROOM_CELL: "{}", STRONGROOM_CELL_FILE: "cell.json" }, /exactly one/],
  ["with half a cell", { STRONGROOM_CELL: "{}" }, /STRONGROOM_CELL: .*region/],
  ["without its file", { STRONGROOM_CELL_FILE: "none.json" }, /STRONGROOM_CELL_FILE.*ENOENT/],
  [
    "with parameters that no task reads",
    { STRONGROOM_CELL: JSON.stringify(CELL), STRONGROOM_PARAMETERS: "local:folder" },
    /STRONGROOM_PARAMETERS/,
  ],
])("ecs %s does not start", (_, settings, message) => {
  expect(() => runtimeOf(settings)).toThrow(message);
});

test.each([
  ["STRONGROOM_INTERNAL_VAULT_ADDR", "127.0.0.1:8210"],
  ["STRONGROOM_INTERNAL_VAULT_ADDR", "http://127.0.0.1:8210/v1"],
  ["STRONGROOM_RUNTIME", "kubernetes"],
  ["STRONGROOM_CERTIFICATE_SECONDS", "9999999999"],
  ["STRONGROOM_RECONCILE_SECONDS", "0"],
  ["STRONGROOM_PARAMETER_PREFIX", "strongroom/"],
])("%s=%s is refused", (name, value) => {
  expect(() => readConfig({ ...good, [name]: value }, Config)).toThrow(name);
});

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "strongroom-config-"));
});
afterEach(() => rm(folder, { recursive: true }));

const issuer = ISSUER_ENTRY;

async function issuersFile(content: string): Promise<string> {
  const path = join(folder, "issuers.json");
  await writeFile(path, content);
  return path;
}

test("issuers are read from their file", async () => {
  expect(readIssuers(await issuersFile(JSON.stringify([issuer])))).toEqual([issuer]);
});

test.each([
  ["not JSON", "["],
  ["no list", JSON.stringify(issuer)],
  ["nobody", "[]"],
  ["an unknown field", JSON.stringify([{ ...issuer, secret: "x" }])],
  ["an algorithm that is not allowed", JSON.stringify([{ ...issuer, algorithms: ["HS256"] }])],
  ["the same twice", JSON.stringify([issuer, issuer])],
])("an issuers file with %s is refused", async (_, content) => {
  const path = await issuersFile(content);
  expect(() => readIssuers(path)).toThrow(ConfigError);
});

test("an issuers file that is missing is named", () => {
  expect(() => readIssuers(join(folder, "none.json"))).toThrow(/STRONGROOM_ISSUERS_FILE.*ENOENT/);
});

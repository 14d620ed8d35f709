import { expect, test } from "vitest";
import { Config, ecsSettings } from "../../services/agent/config.ts";
import { readConfig } from "../../services/shared/config.ts";

const good = {
  STRONGROOM_PARAMETERS: "ssm",
  STRONGROOM_INSTANCES_DIR: "tasks",
  STRONGROOM_VAULT_BIN: "/usr/bin/vault",
  STRONGROOM_SPECS: "ecs",
  STRONGROOM_ECS_CLUSTER: "orgs",
  STRONGROOM_ECS_REGION: "eu-central-1",
  STRONGROOM_ECS_EMULATOR: "http://127.0.0.1:5000",
  STRONGROOM_ECS_LISTEN: "127.0.0.1:5001",
};
const settingsOf = (env: Record<string, string | undefined>) => ecsSettings(readConfig(env, Config));

test("specs come from the folder unless it is said otherwise", () => {
  expect(settingsOf({ ...good, STRONGROOM_SPECS: undefined })).toBeUndefined();
});

test("a cluster of an emulator is run", () => {
  expect(settingsOf(good)).toEqual({
    cluster: "orgs",
    region: "eu-central-1",
    emulator: "http://127.0.0.1:5000",
    listen: { host: "127.0.0.1", port: 5001 },
  });
});

test.each(Object.keys(good).filter((name) => name.includes("_ECS_")))("not without %s", (name) => {
  expect(() => settingsOf({ ...good, [name]: undefined })).toThrow(name);
});

import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Type } from "typebox";
import { expect, test } from "vitest";
import { ConfigError, readConfig } from "../../../services/shared/config.ts";
import { parameterSettings, parameterStore } from "../../../services/shared/parameters/parameter-settings.ts";
import { Secret } from "../../../services/shared/secret.ts";
import { startSsmEmulator } from "../../harness/ssm-emulator.ts";

const read = async (env: Record<string, string>) =>
  parameterStore(readConfig(env, Type.Object(parameterSettings)));

test("local:FOLDER keeps parameters in that folder", async () => {
  const folder = await mkdtemp(join(tmpdir(), "strongroom-parameters-"));
  try {
    const store = await read({ STRONGROOM_PARAMETERS: `local:${folder}` });
    await store.put("/p/a", new Secret("1"));
    expect(await readdir(folder)).toEqual(["%2Fp%2Fa"]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("ssm needs a key; with it, parameters go to the endpoint", async () => {
  await expect(read({ STRONGROOM_PARAMETERS: "ssm" })).rejects.toThrow(/STRONGROOM_SSM_KEY_ID: missing/);
  const emulator = await startSsmEmulator("the-key");
  process.env.AWS_ACCESS_KEY_ID = "AKIDEXAMPLE";
  process.env.AWS_SECRET_ACCESS_KEY = "example";
  try {
    const store = await read({
      STRONGROOM_PARAMETERS: "ssm",
      STRONGROOM_SSM_KEY_ID: "the-key",
      STRONGROOM_SSM_REGION: "eu-central-1",
      STRONGROOM_SSM_ENDPOINT: emulator.endpoint,
    });
    await store.put("/p/a", new Secret("1"));
    expect(emulator.version("/p/a")).toBe(1);
  } finally {
    delete process.env.AWS_ACCESS_KEY_ID;
    delete process.env.AWS_SECRET_ACCESS_KEY;
    await emulator.close();
  }
});

test("anything else is refused", async () => {
  for (const value of ["", "local", "local:", "s3"]) {
    await expect(read({ STRONGROOM_PARAMETERS: value })).rejects.toThrow(ConfigError);
  }
});

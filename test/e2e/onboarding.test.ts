import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { Stage } from "../control-plane/stage.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open({ vaultBinary: inject("vaultBinary") });
  await stage.startControlPlane();
  stage.startAgent();
});
afterAll(() => stage?.close());

test("an organization is onboarded", async () => {
  const begun = Date.now();
  const org = await stage.onboard("acme");
  console.log(Date.now() - begun, JSON.stringify(await stage.job(org.job), null, 1), org);
  expect(org.state).toBe("ready");
});

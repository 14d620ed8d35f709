import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { Stage } from "../control-plane/stage.ts";
import { motoMissing } from "../harness/aws/moto.ts";
import { AwsStage } from "../harness/aws/stage.ts";
import { startGateway, type TestGateway } from "../harness/gateway.ts";

const missing = motoMissing();

describe.skipIf(missing)(`on AWS${missing ? `: skipped, ${missing}` : ""}`, () => {
  let aws: AwsStage;
  let stage: Stage;
  let gateway: TestGateway;

  beforeAll(async () => {
    const vaultBinary = inject("vaultBinary");
    aws = await AwsStage.open({ vaultBinary });
    stage = await Stage.open({ vaultBinary, settings: aws.settings });
    await stage.startControlPlane();
    gateway = await startGateway({ issuers: [stage.issuer], ca: stage.internal.ca, orgs: [] });
  });
  afterAll(async () => {
    await gateway?.close();
    await stage?.close();
    await aws?.close();
  });

  test("an organization is onboarded, and its secret read through the gateway", async () => {
    const org = await stage.onboard("acme", "org_acme").catch((error) => {
      throw new Error(`${error.message}\n${aws.log}`);
    });
    await stage.writeSecret(org, "s3cret");
    await gateway.publish([{ id: org.id, claim: org.claim, address: `https://${org.listen}` }]);
    const token = stage.issuer.token({ org_id: org.claim });
    const answer = await gateway.call("GET", "/v1/secret/data/app/db", { token });
    expect(answer.json.data?.data).toEqual({ value: "s3cret" });
  });
});

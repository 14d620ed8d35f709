import { afterAll, beforeAll, expect, test } from "vitest";
import { open } from "../../../services/shared/envelope/envelope.ts";
import { policyHash } from "../../../services/shared/work/destination.ts";
import {
  answered,
  credentialBody,
  type IntakeStage,
  type Message,
  startIntakeStage,
  type TestIntake,
} from "../../harness/intake.ts";

let stage: IntakeStage;
let intake: TestIntake;
let seen: Message[];
beforeAll(async () => {
  stage = await startIntakeStage();
  intake = await stage.start();
  seen = stage.answer("integration", () => answered());
});
afterAll(() => stage.close());

const job = (changes: object = {}) => ({
  credential: "mail",
  request: { method: "POST", path: "/v1/send", query: { a: "b c" }, body: { text: "hi" } },
  ...changes,
});

test("a credential is stored, used by a job, and its answer comes back without it", async () => {
  const admin = stage.token("admin");
  const put = await intake.call("PUT", "/v1/credentials/mail", { token: admin, body: credentialBody() });
  expect(put).toMatchObject({ status: 201, json: { name: "mail", version: 1, level: "writer" } });
  expect(put.headers.get("etag")).toBe('"1"');
  expect(put.text).not.toContain("canary");

  const token = stage.token("writer");
  const done = await intake.call("POST", "/v1/jobs", { token, body: job(), headers: { prefer: "wait=10" } });
  expect(done).toMatchObject({
    status: 200,
    json: { state: "succeeded", status: 200, result: { answer: { encoding: "utf8", body: "hello" } } },
  });
  const got = await intake.call("GET", `/v1/jobs/${done.json.id}`, { token });
  expect(got.json).toEqual(done.json);

  const [message] = seen as [Message];
  const context = {
    ...{ org: stage.acme, credential: "mail", version: "1", purpose: "integration" as const },
    policy: policyHash(message.policy),
  };
  const value = await open(stage.keys.integration, context, Buffer.from(message.material.envelope, "base64"));
  expect(Buffer.from(value).toString()).toBe("sk-live-canary-0123456789");
  const request = await open(
    stage.keys.integration,
    { ...context, job: message.job },
    Buffer.from(message.request, "base64"),
  );
  expect(JSON.parse(Buffer.from(request).toString())).toEqual({
    method: "POST",
    path: "/v1/send?a=b%20c",
    body: Buffer.from("hi").toString("base64"),
  });
});

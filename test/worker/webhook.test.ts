import { randomBytes } from "node:crypto";
import { Webhook } from "standardwebhooks";
import { beforeEach, describe, expect } from "vitest";
import type { DestinationPolicy } from "../../services/shared/work/destination.ts";
import type { Outcome, WebhookMessage } from "../../services/shared/work/messages.ts";
import { createExchange } from "../../services/worker/outbound/exchange.ts";
import { webhookWork } from "../../services/worker/webhook.ts";
import {
  exceptionFor,
  headerPolicy,
  Jobs,
  keysOf,
  originOf,
  webhookPolicy,
} from "../harness/credential-jobs.ts";
import { test } from "../harness/fixtures.ts";
import type { Recorder } from "../harness/recorder.ts";

const newSecret = () => `whsec_${randomBytes(24).toString("base64")}`;

let destination: Recorder;
let jobs: Jobs;
let policy: DestinationPolicy;
let perform: (message: WebhookMessage) => Promise<Outcome>;
test.beforeAll(({ recordedOrg: { internal, recorder } }) => {
  destination = recorder;
  policy = webhookPolicy(originOf(recorder));
  jobs = new Jobs(keysOf(internal, "intake", "webhook"), "webhook");
  const exception = exceptionFor(recorder, internal.ca);
  const exchange = createExchange({ privateDestinations: new Map([[exception.origin, exception]]) });
  const work = webhookWork(keysOf(internal, "worker-webhook", "webhook"), exchange);
  perform = (message) => work.perform(message, { signal: new AbortController().signal, reached: () => {} });
});
beforeEach(() => {
  destination.clear();
  destination.answer = undefined;
});

describe("a delivery", () => {
  test.each([
    "one",
    "two",
  ])("is signed with each of %s valid secrets, as Standard Webhooks has it", async (count) => {
    const secrets = count === "one" ? [newSecret()] : [newSecret(), newSecret()];
    const body = '{"type":"invoice.paid","data":{"name":"Zoë 🦓"}}';
    const message = await jobs.delivery(secrets, policy, body);
    expect(await perform(message)).toMatchObject({ state: "answered", status: 200 });
    const [request] = destination.requests;
    expect(request).toMatchObject({
      ...{ method: "POST", url: "/hook", body },
      headers: {
        "content-type": "application/json",
        "webhook-id": message.webhookId,
        "idempotency-key": message.job,
      },
    });
    const headers = request?.headers as Record<string, string>;
    expect(headers["webhook-signature"]?.split(" ")).toHaveLength(secrets.length);
    for (const secret of secrets) expect(new Webhook(secret).verify(body, headers)).toEqual(JSON.parse(body));
    expect(() => new Webhook(newSecret()).verify(body, headers)).toThrow("No matching signature found");
  });

  test("whose receiver answers with the secret, or at length", async () => {
    const secret = newSecret();
    destination.answer = (_, response) =>
      response
        .writeHead(500, { "X-Debug": secret })
        .end(`${secret} ${Buffer.from(secret.slice(6), "base64").toString("hex")} ${"x".repeat(10_000)}`);
    const outcome = await perform(await jobs.delivery([secret], policy, "{}"));
    if (outcome.state !== "answered") throw new Error(JSON.stringify(outcome));
    expect(outcome).toMatchObject({ status: 500, scrubbed: 3 });
    const body = Buffer.from(outcome.body, "base64").toString();
    expect(body).toMatch(/^\[removed\] \[removed\] x+$/);
    expect(body.length).toBeLessThanOrEqual(4_096);
    expect(JSON.stringify(outcome)).not.toContain(secret.slice(6, 20));
  });

  test("whose receiver's answer is cut off inside the secret", async () => {
    const secret = newSecret();
    for (const end of [4_096, 4_096 + 16_384]) {
      for (const repeated of ["", secret.repeat(3)]) {
        const before = "x".repeat(end - repeated.length - 20);
        destination.answer = (_, response) => response.end(`${repeated}${before}${secret}${"y".repeat(100)}`);
        const outcome = await perform(await jobs.delivery([secret], policy, "{}"));
        const body = outcome.state === "answered" ? Buffer.from(outcome.body, "base64").toString() : "";
        expect(body.length).toBeGreaterThan(3_000);
        expect(body.length).toBeLessThanOrEqual(4_096);
        expect(body).not.toContain(secret.slice(0, 6));
      }
    }
  });

  test("to another path than the pinned one is not sent", async () => {
    const message = await jobs.delivery([newSecret()], policy, "{}");
    const request = await jobs.sealRequest(message.job, { method: "POST", path: "/other" }, policy);
    await expect(perform({ ...message, request })).rejects.toMatchObject({ failure: "request_not_allowed" });
    expect(destination.connections).toBe(0);
  });

  test("that sets a header of the signature itself is not sent", async () => {
    const message = await jobs.delivery([newSecret()], policy, "{}");
    for (const header of ["webhook-signature", "Webhook-Id", "webhook-timestamp", "Authorization"]) {
      const sent = { method: "POST" as const, path: "/hook", headers: { [header]: "v1,x" } };
      const request = await jobs.sealRequest(message.job, sent, policy);
      await expect(perform({ ...message, request })).rejects.toMatchObject({
        failure: "request_not_allowed",
      });
    }
    expect(destination.connections).toBe(0);
  });

  test("whose body is not UTF-8 is not sent, because its signature would be another text's", async () => {
    const message = await jobs.delivery([newSecret()], policy, "{}");
    const body = Buffer.from([0xff, 0xfe]).toString("base64");
    const request = await jobs.sealRequest(message.job, { method: "POST", path: "/hook", body }, policy);
    await expect(perform({ ...message, request })).rejects.toMatchObject({ failure: "request_not_allowed" });
  });

  test.each([
    ["not base64", "whsec_%%%%not-base64%%%%"],
    ["empty", "whsec_"],
  ])("with a secret that is %s is not sent, and the error does not show it", async (_, secret) => {
    const error = await perform(await jobs.delivery([secret], policy, "{}")).catch((error) => error);
    expect(error).toMatchObject({ failure: "request_not_allowed" });
    expect(error.message).not.toContain(secret.slice(6) || "whsec_");
    expect(destination.connections).toBe(0);
  });

  test("by the policy of another kind is not sent", async () => {
    const other = headerPolicy(policy.origin, { methods: ["POST"], paths: ["/hook"] });
    await expect(perform(await jobs.delivery([newSecret()], other, "{}"))).rejects.toMatchObject({
      failure: "policy_mismatch",
    });
  });
});

describe("a worker of kind webhook opens nothing else", () => {
  test("what was sealed for integrations", async ({ recordedOrg: { internal } }) => {
    const other = new Jobs(keysOf(internal, "intake", "integration"), "integration", jobs.org);
    await expect(perform(await other.delivery([newSecret()], policy, "{}"))).rejects.toThrow();
    expect(destination.connections).toBe(0);
  });

  test("what was sealed by its own key for another purpose, policy, version or job", async ({
    recordedOrg,
  }) => {
    const keys = keysOf(recordedOrg.internal, "intake", "webhook");
    const purpose = await new Jobs(keys, "integration", jobs.org).delivery([newSecret()], policy, "{}");
    const own = await jobs.delivery([newSecret()], policy, "{}");
    const another = await jobs.delivery([newSecret()], policy, "{}");
    const [secret] = own.secrets;
    if (!secret) throw new Error("no secret");
    const changed: WebhookMessage[] = [
      purpose,
      { ...own, policy: { ...policy, origin: "https://evil.example" } },
      { ...own, secrets: [{ ...secret, version: 2 }] },
      { ...own, request: another.request },
    ];
    for (const message of changed) {
      await expect(perform(message)).rejects.toMatchObject({ name: "EnvelopeRefused" });
    }
    expect(destination.connections).toBe(0);
  });
});

import { request } from "node:http";
import {
  CreateAccessKeyCommand,
  CreateUserCommand,
  IAMClient,
  PutUserPolicyCommand,
} from "@aws-sdk/client-iam";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { prepareRequest } from "../../../../services/worker/broker/inject/prepare.ts";
import { type MotoServer, startMoto } from "../../../harness/aws/moto.ts";

/** moto compares signatures once it is told to: with those that AWS's own client for Python makes. */
let moto: MotoServer;
let key: { accessKeyId: string; secretAccessKey: string };

beforeAll(async () => {
  moto = await startMoto(inject("moto"));
  const iam = new IAMClient({
    endpoint: moto.endpoint,
    region: "us-east-1",
    credentials: { accessKeyId: "x", secretAccessKey: "x" },
  });
  await iam.send(new CreateUserCommand({ UserName: "app" }));
  const PolicyDocument = JSON.stringify({
    Version: "2012-10-17",
    Statement: [{ Effect: "Allow", Action: "*", Resource: "*" }],
  });
  await iam.send(new PutUserPolicyCommand({ UserName: "app", PolicyName: "all", PolicyDocument }));
  const { AccessKey } = await iam.send(new CreateAccessKeyCommand({ UserName: "app" }));
  key = { accessKeyId: AccessKey?.AccessKeyId ?? "", secretAccessKey: AccessKey?.SecretAccessKey ?? "" };
  iam.destroy();
  await fetch(`${moto.endpoint}/moto-api/reset-auth`, { method: "POST", body: "0" });
});
afterAll(() => moto?.stop());

interface Call {
  service: string;
  method: string;
  path: string;
  headers?: [string, string][];
  body?: string;
}

async function call(
  { service, method, path, headers = [], body }: Call,
  secretAccessKey = key.secretAccessKey,
) {
  const { host, hostname, port } = new URL(moto.endpoint);
  const prepared = await prepareRequest(
    { origin: moto.endpoint, inject: { sigv4: { service, region: "us-east-1" } }, rules: [] },
    Buffer.from(JSON.stringify({ ...key, secretAccessKey })),
    { method, path, headers, ...(body !== undefined && { body: Buffer.from(body) }) },
    Date.now(),
  );
  return await new Promise<{ status: number; text: string }>((resolve, reject) => {
    const sent = request(
      {
        ...{ hostname, port, method, path: prepared.path, setHost: false },
        headers: [...prepared.headers, ["Host", host], ["Content-Length", String(body?.length ?? 0)]].flat(),
      },
      async (response) => {
        const chunks: Buffer[] = [];
        for await (const chunk of response) chunks.push(chunk as Buffer);
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() });
      },
    );
    sent.on("error", reject);
    sent.end(body);
  });
}

const FORM: [string, string][] = [["Content-Type", "application/x-www-form-urlencoded"]];

test.each<[string, Call, RegExp]>([
  [
    "a form",
    {
      service: "sts",
      method: "POST",
      path: "/",
      headers: FORM,
      body: "Action=GetCallerIdentity&Version=2011-06-15",
    },
    /user\/app/,
  ],

  ["a bucket", { service: "s3", method: "PUT", path: "/things" }, /^/],
  [
    "an object with a body",
    {
      service: "s3",
      method: "PUT",
      path: "/things/a%20b%24.txt",
      headers: [["X-Amz-Meta-Color", "  dark   red "]],
      body: "hello",
    },
    /^/,
  ],
  ["an object", { service: "s3", method: "GET", path: "/things/a%20b$.txt" }, /^hello$/],
  [
    "a list",
    { service: "s3", method: "GET", path: "/things?list-type=2&prefix=a%20b&encoding-type=url" },
    /<Key>a/,
  ],
])("%s is accepted, and with another key it is not", async (_, request, expected) => {
  expect(await call(request, "another-secret-access-key")).toMatchObject({
    status: 403,
    text: expect.stringContaining("SignatureDoesNotMatch"),
  });
  const { status, text } = await call(request);
  expect(text).toMatch(expected);
  expect(status).toBe(200);
});

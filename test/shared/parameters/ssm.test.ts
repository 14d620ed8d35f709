import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { AwsError } from "../../../services/shared/aws/aws-error.ts";
import { ssmParameterStore } from "../../../services/shared/parameters/ssm.ts";
import type { ParameterStore } from "../../../services/shared/parameters/store.ts";
import { Secret } from "../../../services/shared/secret.ts";
import { type SsmEmulator, startSsmEmulator } from "../../harness/ssm-emulator.ts";
import { parameterStoreContract } from "./contract.ts";

const KEY = "arn:aws:kms:eu-central-1:111122223333:key/customer";
const CANARY = "canary-secret-value";

let emulator: SsmEmulator;
let store: ParameterStore;
const storeAt = (endpoint: string, keyId = KEY) =>
  ssmParameterStore({
    keyId,
    endpoint,
    region: "eu-central-1",
    credentials: { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "example" },
    requestTimeoutMs: 300,
  });

beforeEach(async () => {
  emulator = await startSsmEmulator(KEY);
  store = storeAt(emulator.endpoint);
});
afterEach(() => emulator.close());

const failure = (operation: Promise<unknown>): Promise<AwsError> =>
  operation.then(
    () => expect.fail("it did not fail"),
    (error) => error,
  );

function expectNoSecret(error: Error) {
  expect(error).toBeInstanceOf(AwsError);
  expect(error.cause).toBeUndefined();
  expect(inspect(error, { depth: 10, showHidden: true })).not.toContain(CANARY);
}

describe("contract", () => parameterStoreContract(() => store));

test("values are SecureStrings of the customer's key, tagged; overwriting makes a version", async () => {
  const name = "/p/orgs/oaaaaaaaaaaaaaaa/unseal-token";
  await store.put(name, new Secret("1"));
  await store.put(name, new Secret("2"));
  expect(emulator.version(name)).toBe(2);
  const parameter = { Name: name, Type: "SecureString", KeyId: KEY };
  const Tags = [{ Key: "org", Value: "oaaaaaaaaaaaaaaa" }];
  expect(emulator.requests.map(({ input }) => input)).toEqual([
    { ...parameter, Value: "1", Tags, Overwrite: false },
    { ...parameter, Value: "2", Tags, Overwrite: false },
    { ...parameter, Value: "2", Overwrite: true },
  ]);
});

test("a name that is refused sends no request", async () => {
  await expect(store.put("/../p", new Secret(CANARY))).rejects.toThrow();
  expect(emulator.requests).toEqual([]);
});

test("a refusal tells AWS's code and request id, and nothing of the value", async () => {
  emulator.failNext("AccessDeniedException");
  const denied = await failure(store.put("/p/a", new Secret(CANARY)));
  expect(denied).toMatchObject({
    awsCode: "AccessDeniedException",
    requestId: "request-1",
    message: "SSM PutParameter /p/a: AccessDeniedException (request request-1)",
  });
  expectNoSecret(denied);

  const wrongKey = await failure(storeAt(emulator.endpoint, "alias/aws/ssm").put("/p/a", new Secret(CANARY)));
  expect(wrongKey.awsCode).toBe("InvalidKeyId");
  expectNoSecret(wrongKey);

  const tooLong = await failure(store.put("/p/a", new Secret(CANARY.repeat(1000))));
  expect(tooLong.awsCode).toBe("ValidationException");
  expectNoSecret(tooLong);
});

test("throttling is tried again, three times at most", async () => {
  emulator.failNext("ThrottlingException");
  await store.put("/p/a", new Secret("1"));
  expect(emulator.requests).toHaveLength(2);

  for (let number = 0; number < 3; number++) emulator.failNext("ThrottlingException");
  const error = await failure(store.get("/p/a"));
  expect(error.awsCode).toBe("ThrottlingException");
  expect(emulator.requests).toHaveLength(5);
});

test("an endpoint that hangs is given up", async () => {
  emulator.hang(1);
  await store.put("/p/a", new Secret("1"));
  expect(emulator.version("/p/a")).toBe(1);

  emulator.hang(10);
  const begun = performance.now();
  const error = await failure(store.put("/p/a", new Secret(CANARY)));
  expect(error.awsCode).toBe("ETIMEDOUT");
  expectNoSecret(error);
  expect(performance.now() - begun).toBeLessThan(5_000);
});

test("an answer that stops half-way is given up", async () => {
  const server = createServer((_, response) => {
    response.writeHead(200, { "content-type": "application/x-amz-json-1.1", "content-length": "100" });
    response.write('{"Parameter":');
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const begun = performance.now();
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    expect(await failure(storeAt(address).get("/p/a"))).toBeInstanceOf(AwsError);
    expect(performance.now() - begun).toBeLessThan(10_000);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test("an endpoint that is not there is said so", async () => {
  await emulator.close();
  const error = await failure(store.get("/p/a"));
  expect(error.awsCode).toBe("ECONNREFUSED");
});

test("a listing that never ends is given up", async () => {
  const server = createServer((_, response) => {
    response.writeHead(200, { "content-type": "application/x-amz-json-1.1" });
    response.end(JSON.stringify({ Parameters: [{ Name: "/p/a" }], NextToken: "again" }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    expect((await failure(storeAt(address).list("/p/"))).awsCode).toBe("TooManyPages");
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

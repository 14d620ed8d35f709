import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { PassThrough } from "node:stream";
import { json } from "node:stream/consumers";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Intake } from "../../services/cli/intake-client.ts";
import { Output } from "../../services/cli/output.ts";
import { sealForPut } from "../../services/cli/seal-value.ts";
import { makeSealingKeyPair, openValue } from "../../services/shared/envelope/sealing.ts";
import { Secret } from "../../services/shared/secret.ts";
import { policyHash } from "../../services/shared/work/destination.ts";

interface Asked {
  line: string;
  headers: IncomingMessage["headers"];
  body: unknown;
}

let server: Server;
let intake: Intake;
let asked: Asked[];
let answer: (line: string, response: ServerResponse) => void;

beforeEach(async () => {
  asked = [];
  server = createServer(async (request, response) => {
    const body = request.headers["content-type"] ? await json(request) : undefined;
    const line = `${request.method} ${request.url}`;
    asked.push({ line, headers: request.headers, body });
    answer(line, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  intake = new Intake(`http://127.0.0.1:${port}`, async () => new Secret("a-members-token"));
});
afterEach(() => {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(resolve));
});

const send = (response: ServerResponse, status: number, body: object) =>
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
const problem = (response: ServerResponse, status: number, code: string, detail: string) =>
  send(response, status, { code, detail, status, title: code });

test("a list is read to its last page, and jobs only as far as asked for", async () => {
  answer = (line, response) =>
    line.includes("cursor=two")
      ? send(response, 200, { credentials: [{ name: "b" }], jobs: [{ id: "j3" }] })
      : send(response, 200, {
          credentials: [{ name: "a" }],
          jobs: [{ id: "j1" }, { id: "j2" }],
          next: "two",
        });
  expect(await intake.credentials()).toEqual([{ name: "a" }, { name: "b" }]);
  expect(await intake.uses({ state: "failed" }, 2)).toEqual([{ id: "j1" }, { id: "j2" }]);
  expect(asked.map(({ line }) => line)).toEqual([
    "GET /v1/credentials?limit=100",
    "GET /v1/credentials?limit=100&cursor=two",
    "GET /v1/jobs?state=failed&limit=100",
  ]);
  expect(asked[0]?.headers.authorization).toBe("Bearer a-members-token");
});

test("names are encoded, and a deletion has no answer to read", async () => {
  answer = (_, response) => void response.writeHead(204).end();
  await intake.deleteCredential("a/../b");
  expect(asked[0]?.line).toBe("DELETE /v1/credentials/a%2F..%2Fb");
});

test("a use has an idempotency key, its own or the caller's", async () => {
  answer = (_, response) => send(response, 202, { id: "j1" });
  const body = { credential: "a", request: { method: "GET" as const, path: "/" } };
  await intake.createUse(body, "mine");
  await intake.createUse(body);
  expect(asked.map(({ headers }) => headers["idempotency-key"])).toEqual([
    "mine",
    expect.stringMatching(/^[0-9a-f-]{36}$/),
  ]);
});

test("a refused token is said to be a member's", async () => {
  answer = (_, response) => problem(response, 401, "unauthenticated", "This needs a valid token.");
  await expect(intake.credentials()).rejects.toMatchObject({
    exit: "permission",
    hint: expect.stringMatching(/^Members' tokens/),
  });
});

const destination = {
  origin: "https://api.example.com",
  methods: ["GET" as const],
  paths: ["/v1/**"],
  inject: { header: "Authorization", format: "Bearer {}" },
};

test.each([
  ["a new credential", undefined, 1],
  ["a known one", 4, 5],
])("a value is sealed for the next version of %s, once the organization has a key", async (_, known, version) => {
  const pair = await makeSealingKeyPair();
  const id = "kaaaaaaaaaaaaaaa";
  let waits = 0;
  answer = (line, response) => {
    if (line !== "GET /v1/sealing-keys?purpose=integration") {
      if (known) send(response, 200, { name: "stripe", version: known });
      else problem(response, 404, "not_found", "There is no such credential.");
      return;
    }
    const publicKey = Buffer.from(pair.publicKey).toString("base64url");
    const keys = ++waits > 2 ? [{ id, publicKey, state: "current" }] : [];
    send(response, 200, { org: "oaaaaaaaaaaaaaaa", keys });
  };
  const out = new Output(new PassThrough(), new PassThrough());
  const body = await sealForPut(out, intake, "stripe", { destination }, new Secret("sk_1234"));
  expect(body).toMatchObject({ version, sealed: { key: id } });
  const context = {
    ...{ org: "oaaaaaaaaaaaaaaa", credential: "stripe", version: String(version), key: id },
    ...{ purpose: "integration" as const, policy: policyHash(destination) },
  };
  const opened = await openValue(pair.privateKey, context, body.sealed);
  expect(Buffer.from(opened).toString()).toBe("sk_1234");
  expect(JSON.stringify(asked)).not.toContain("sk_1234");
});

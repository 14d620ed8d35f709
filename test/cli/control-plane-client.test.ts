import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ControlPlane } from "../../services/cli/control-plane-client.ts";
import { Secret } from "../../services/shared/secret.ts";

let server: Server;
let client: ControlPlane;
let requests: IncomingMessage[];
let answer: (request: IncomingMessage, response: ServerResponse) => void;

beforeEach(async () => {
  requests = [];
  server = createServer((request, response) => {
    requests.push(request);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  client = new ControlPlane(`http://127.0.0.1:${port}`, async () => new Secret("an-operators-token"));
});
afterEach(() => {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(resolve));
});

const json = (response: ServerResponse, status: number, body: object) =>
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));

test("a problem is thrown as the error it names", async () => {
  answer = (_, response) =>
    json(response, 409, {
      code: "conflict",
      title: "Conflict",
      detail: "The name acme is taken.",
      status: 409,
    });
  await expect(client.createOrg({ name: "acme", claim: "org_acme" })).rejects.toMatchObject({
    code: "conflict",
    message: "The name acme is taken.",
  });
});

test("an answer that is no problem document is a failure with its status, and nothing of its text", async () => {
  answer = (_, response) => void response.writeHead(502).end("<html>stack</html>");
  await expect(client.orgs()).rejects.toMatchObject({
    exit: "failure",
    message: "The control plane answered 502",
  });
});

test("a control plane that does not answer is unavailable, and the message holds no token", async () => {
  await new Promise((resolve) => server.close(resolve));
  const error = await client.orgs().catch((reason) => reason);
  expect(error).toMatchObject({ exit: "unavailable" });
  expect(JSON.stringify(error) + error.message).not.toContain("an-operators-token");
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});

test("all pages are read", async () => {
  const pages: Record<string, object> = {
    "/v1/orgs?limit=100": { orgs: [{ id: "a" }], next: "c1" },
    "/v1/orgs?limit=100&cursor=c1": { orgs: [{ id: "b" }] },
  };
  answer = (request, response) => void json(response, 200, pages[request.url ?? ""] ?? {});
  expect((await client.orgs()).map(({ id }) => id)).toEqual(["a", "b"]);
});

test("a name is that of the living organization; a deleted one is found by its id", async () => {
  const dead = { id: "oaaaaaaaaaaaaaaa", name: "hooli", state: "deleted" };
  const answers: Record<string, object> = {
    "/v1/orgs?name=acme": { orgs: [{ id: "obbbbbbbbbbbbbbb", name: "acme", state: "ready" }] },
    "/v1/orgs/oaaaaaaaaaaaaaaa": dead,
    "/v1/orgs?limit=100": { orgs: [dead] },
  };
  answer = (request, response) => void json(response, 200, answers[request.url ?? ""] ?? { orgs: [] });
  expect((await client.findOrg("acme")).id).toBe("obbbbbbbbbbbbbbb");
  expect((await client.findOrg("oaaaaaaaaaaaaaaa")).state).toBe("deleted");
  await expect(client.findOrg("hooli")).rejects.toMatchObject({
    exit: "notFound",
    message: "The organization hooli is deleted",
    hint: "To see it, pass its id: oaaaaaaaaaaaaaaa",
  });
  await expect(client.findOrg("No such thing")).rejects.toMatchObject({ exit: "notFound" });
});

test("a job's events go on where the connection broke, up to the end", async () => {
  const event = (sequence: number, change: object) =>
    `id: ${sequence}\ndata: ${JSON.stringify({ sequence, at: "2026-01-01T00:00:00Z", ...change })}\n\n`;
  answer = (request, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    if (request.headers["last-event-id"] === undefined) {
      response.write(event(1, { step: "reserve", state: "running" }));
      response.write(event(2, { step: "reserve", state: "done" }), () => response.destroy());
    } else response.write(event(3, { state: "succeeded" }));
  };
  const events = await Array.fromAsync(client.jobEvents("j1"));
  expect(events.map(({ sequence }) => sequence)).toEqual([1, 2, 3]);
  expect(requests.map(({ headers }) => headers["last-event-id"])).toEqual([undefined, "2"]);
});

test("events that are refused are not asked for again", async () => {
  answer = (_, response) =>
    json(response, 404, { code: "not_found", title: "Not found", detail: "No such job." });
  await expect(Array.fromAsync(client.jobEvents("j1"))).rejects.toMatchObject({ code: "not_found" });
  expect(requests).toHaveLength(1);
});

import { pino } from "pino";
import { expect, test } from "vitest";
import { recordOnTrail } from "../../../services/control-plane/api/audit.ts";
import type { Trail } from "../../../services/control-plane/trail.ts";
import { createServer } from "../../../services/shared/http/server.ts";

/** A server with one route that changes something, whose caller is known; the trail is a stand-in that can fail. */
function serverOn(append: Trail["append"]) {
  const app = createServer(pino({ level: "silent" }));
  let done = 0;
  app.decorateRequest("operator", undefined);
  app.addHook("onRequest", async (request) => {
    request.operator = { subject: "ada" };
  });
  recordOnTrail(app, { append } as Trail);
  app.post("/v1/things", { config: { access: { permission: "x" } } }, async () => {
    done++;
    return {};
  });
  return { app, done: () => done };
}

test("what cannot be put on the trail is not done", async () => {
  const { app, done } = serverOn(() => Promise.reject(new Error("the internal Vault is down")));
  expect((await app.inject({ method: "POST", url: "/v1/things" })).statusCode).toBe(500);
  expect(done()).toBe(0);
});

test("it is there before it is done, and its answer behind it", async () => {
  const order: string[] = [];
  const { app, done } = serverOn(async ({ status }) => {
    order.push(`${status ?? "asked"}, done ${done()}`);
  });
  expect((await app.inject({ method: "POST", url: "/v1/things" })).statusCode).toBe(200);
  await expect.poll(() => order).toEqual(["asked, done 0", "200, done 1"]);
});

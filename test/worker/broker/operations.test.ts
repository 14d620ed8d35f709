import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { pino } from "pino";
import { Type } from "typebox";
import { expect, onTestFinished, test } from "vitest";
import { ForCaller } from "../../../services/shared/broker/calls.ts";
import { KeyProviderError } from "../../../services/shared/envelope/key-provider.ts";
import { newOrgId } from "../../../services/shared/org.ts";
import {
  type OperationRun,
  operation,
  operationsHandler,
} from "../../../services/worker/broker/operations.ts";
import { UseFailure } from "../../../services/worker/broker/use-failure.ts";
import type { VerifyCaller } from "../../../services/worker/broker/verified-caller.ts";

const schema = Type.Object({ ...ForCaller, say: Type.String() }, { additionalProperties: false });
const body = (changes: object = {}) => ({
  ...{ id: randomUUID(), token: "a.b.c", org: newOrgId(), say: "hello" },
  ...changes,
});

async function start(perform: (say: string, run: OperationRun) => Promise<object>) {
  const log: string[] = [];
  const verify: VerifyCaller = async ({ org, token }) => {
    if (token === "bad") throw new UseFailure("unauthenticated", "the broker does not accept the token");
    return { org, issuer: "i", subject: "ada", level: "writer", groups: [] };
  };
  const handle = operationsHandler(
    [operation("echo", schema, (call, run) => perform(call.say, run))],
    verify,
    pino({ level: "debug" }, { write: (line: string) => void log.push(line) }),
  );
  const server = createServer((request, response) => void handle(request.url ?? "", request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const ask = async (sent: string | object, path = "/echo", signal?: AbortSignal) => {
    const text = typeof sent === "string" ? sent : JSON.stringify(sent);
    const answer = await fetch(`${url}${path}`, { method: "POST", body: text, ...(signal && { signal }) });
    return { status: answer.status, json: await answer.json() };
  };
  return { ask, log };
}

test("an operation gets its call and who sends it, and answers with JSON", async () => {
  const { ask } = await start(async (say, { caller }) => ({ said: `${caller.subject}: ${say}` }));
  expect(await ask(body())).toEqual({ status: 200, json: { said: "ada: hello" } });
});

test("what is no call of it is refused before it is performed", async () => {
  const { ask } = await start(async () => {
    throw new Error("performed");
  });
  const malformed: [string | object, string?][] = [
    [body(), "/other"],
    [body(), "/echo/"],
    [body(), "/constructor"],
    [body({ more: 1 })],
    [body({ say: 1 })],
    [body({ org: "acme" })],
    [body({ token: "" })],
    [body({ id: "../x" })],
    ["{"],
    [""],
    ["[]"],
    [JSON.stringify(body({ say: "x".repeat(600_000) }))],
  ];
  for (const [sent, path] of malformed) {
    const { status, json } = await ask(sent, path);
    expect(status, JSON.stringify(sent).slice(0, 80)).toBe(400);
    expect(json).toMatchObject({ failure: "malformed", isSent: false });
  }
  expect(await ask(body({ token: "bad" }))).toMatchObject({
    ...{ status: 401, json: { failure: "unauthenticated", isSent: false } },
  });
});

test("a failure says what the caller may know, and whether anything was sent", async () => {
  const { ask, log } = await start(async (say, { sends }) => {
    if (say === "limited") throw new UseFailure("rate_limited", "slowly", { retryAfterSeconds: 3 });
    if (say === "key") throw new KeyProviderError("unavailable", "transit: secret detail");
    sends();
    if (say === "provider") throw new UseFailure("provider_refused", "no", { status: 400 });
    throw new Error("secret tiger42");
  });
  expect(await ask(body({ say: "limited" }))).toEqual({
    ...{
      status: 429,
      json: { failure: "rate_limited", detail: "slowly", isSent: false, retryAfterSeconds: 3 },
    },
  });
  const key = await ask(body({ say: "key" }));
  expect(key).toMatchObject({ status: 502, json: { failure: "key_unavailable", isSent: false } });
  expect((await ask(body({ say: "provider" }))).json).toEqual({
    ...{ failure: "provider_refused", detail: "no", isSent: true, status: 400 },
  });
  const unexpected = await ask(body({ say: "else" }));
  expect(unexpected.json).toEqual({ failure: "internal", detail: "the broker failed", isSent: true });
  expect(JSON.stringify([key, unexpected]) + log.join()).not.toMatch(/tiger|secret/);
});

test("is given up when the intake goes", async () => {
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const { promise: ended, resolve: end } = Promise.withResolvers<unknown>();
  const { ask } = await start(async (_, { signal }) => {
    signal.addEventListener("abort", () => end(signal.reason));
    begin();
    return new Promise(() => {});
  });
  const leaving = new AbortController();
  const answer = ask(body(), "/echo", leaving.signal).catch((error) => error);
  await begun;
  leaving.abort();
  expect(await ended).toMatchObject({ failure: "cancelled" });
  await answer;
});

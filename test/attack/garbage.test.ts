import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { test } from "../harness/fixtures.ts";
import { answerAsVault } from "../harness/recorder.ts";
import { randomFrom } from "./corpus/tenancy-model.ts";

const RUNS = process.env.ATTACK === "whole" ? 50_000 : 2_500;
/** Give the seed that a failed run has printed, to have the same run again. */
const SEED = Number(process.env.GARBAGE_SEED ?? Math.floor(Math.random() * 2 ** 32));

// What is thrown and caught by nobody, here or in the gateway, fails the run by itself.
test("good requests with bytes changed, cut or doubled, whose callers leave at any moment, break nothing", {
  timeout: 600_000,
}, async ({ recordedGateway: { issuer, recorder, gateway } }) => {
  const random = randomFrom(SEED);
  const below = (limit: number) => Math.floor(random() * limit);
  const exp = Math.floor(Date.now() / 1000) + 3_000;
  const token = issuer.token({ [issuer.issuer.groupsClaim]: ["admin"], exp });
  const good = [
    `GET /v1/secret/data/app HTTP/1.1\r\nHost: x\r\nX-Vault-Token: ${token}\r\n\r\n`,
    `LIST /v1/secret/metadata/app HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`,
    `POST /v1/secret/data/app HTTP/1.1\r\nHost: x\r\nX-Vault-Token: ${token}\r\nContent-Length: 11\r\n\r\n{"data":{}}`,
    `PUT /v1/secret/data/app HTTP/1.1\r\nHost: x\r\nX-Vault-Token: ${token}\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n{"data":{}}\r\n0\r\n\r\n`,
    `GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n\r\n`,
    `GET /v1/auth/token/lookup-self HTTP/1.1\r\nHost: x\r\nX-Vault-Token: ${token}\r\n\r\n`,
  ].map((text) => Buffer.from(text, "latin1"));
  recorder.answer = (request, response) => {
    if (request.url.endsWith("/login")) return answerAsVault(request, response);
    const body = JSON.stringify({ data: "x".repeat(random() < 0.1 ? 500_000 : 10) });
    if (random() < 0.05) response.socket?.destroy();
    else response.writeHead(200).end(body);
  };

  const changed = (): Buffer => {
    let bytes = Buffer.from(good[below(good.length)] as Buffer);
    for (let i = below(4); i > 0; i--) {
      const [at, length] = [below(bytes.length), below(40)];
      const kind = below(5);
      if (kind === 0) bytes[at] = below(256);
      else if (kind === 1) bytes = bytes.subarray(0, at);
      else if (kind === 2) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
      else if (kind === 3) bytes = Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
      else bytes = Buffer.concat([bytes, good[below(good.length)] as Buffer]);
      if (bytes.length === 0) break;
    }
    return bytes;
  };
  const one = () =>
    new Promise<void>((resolve) => {
      const socket = connect(Number(new URL(gateway.url).port), "127.0.0.1", () => {
        const bytes = changed();
        const cut = below(bytes.length + 1);
        socket.write(bytes.subarray(0, cut));
        if (random() < 0.5) socket.write(bytes.subarray(cut));
        const leave = () => (random() < 0.5 ? socket.destroy() : socket.resetAndDestroy());
        setTimeout(leave, below(12));
      });
      socket.on("error", () => {}).on("close", () => resolve());
      if (random() < 0.8) socket.resume();
    });
  const ask = async () => (await gateway.call("GET", "/v1/secret/metadata/app", { token })).status;
  for (let runs = 0; runs < RUNS; runs += 25) {
    await Promise.all(Array.from({ length: 25 }, one));
  }
  recorder.answer = undefined;
  expect(await ask(), `GARBAGE_SEED=${SEED}`).toBe(200);
  // Nothing is left of them, but those whose end the gateway has not seen yet.
  const connections = () =>
    new Promise<number>((resolve) => gateway.app.server.getConnections((_error, count) => resolve(count)));
  await expect.poll(connections, { timeout: 20_000 }).toBe(0);
  await sleep(50);
  const broken = gateway.log().filter(({ status, level }) => status === 500 || Number(level) >= 50);
  expect(broken, `GARBAGE_SEED=${SEED}`).toEqual([]);
  const statuses = new Set(gateway.log().flatMap(({ status }) => (status === undefined ? [] : [status])));
  process.stdout.write(
    `garbage: ${RUNS} tried, 0 broke anything; answers ${[...statuses].sort().join(", ")}\n`,
  );
  expect([...statuses]).toEqual(expect.arrayContaining([200, 400, 401]));
});

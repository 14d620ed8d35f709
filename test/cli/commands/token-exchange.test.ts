import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { json, text } from "node:stream/consumers";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { runStrongroom } from "../../../services/cli/program.ts";

let server: Server;
let folder: string;
let asked: { line: string; body: unknown }[];
let answer: (response: ServerResponse) => void;
const about = { type: "bearer", expiresAt: "2030-01-01T00:00:00.000Z", scopes: ["read"], receipt: "r-1" };
const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "strongroom-token-exchange-"));
  await writeFile(join(folder, "member"), "a.b.c", { mode: 0o600 });
  await writeFile(join(folder, "public.pem"), publicKey.export({ type: "spki", format: "pem" }));
  await writeFile(join(folder, "private.pem"), privateKey.export({ type: "pkcs8", format: "pem" }));
  await writeFile(join(folder, "policy.json"), '{"Version":"2012-10-17"}\n');
  server = createServer(async (request, response) => {
    asked.push({ line: `${request.method} ${request.url}`, body: await json(request) });
    answer(response);
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
});
afterAll(async () => {
  server.close();
  await rm(folder, { recursive: true });
});
beforeEach(() => {
  asked = [];
  answer = (response) => void response.end(JSON.stringify({ token: "short-lived", ...about }));
});

async function run(...argv: string[]) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const env = {
    STRONGROOM_INTAKE: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    STRONGROOM_TOKEN_FILE: join(folder, "member"),
  };
  const status = await runStrongroom(["token", "exchange", ...argv], env, stdout, stderr);
  stdout.end();
  stderr.end();
  return { status, out: await text(stdout), err: await text(stderr) };
}

test("prints the token alone on stdout, and what it is for on stderr", async () => {
  const { status, out, err } = await run("github");
  expect([status, out]).toEqual([0, "short-lived\n"]);
  expect(err).toBe("A token for read, until 2030-01-01T00:00:00.000Z. Receipt: r-1\n");
  expect(asked).toEqual([{ line: "POST /v1/credentials/github/token", body: {} }]);
});

test("asks for less by its options", async () => {
  const options = ["--scope", "a", "--scope", "b", "--seconds", "15m", "--repository", "site"];
  const policy = join(folder, "policy.json");
  await run("x", ...options, "--permission", "contents=read", "--session-policy", policy);
  expect(asked[0]?.body).toEqual({
    ...{ scopes: ["a", "b"], seconds: 900, repositories: ["site"], permissions: { contents: "read" } },
    sessionPolicy: '{"Version":"2012-10-17"}',
  });
});

test("prints a sealed token as JSON, with what opens it", async () => {
  const sealed = { enc: "e", ciphertext: "c", org: "o", job: "r-1" };
  answer = (response) => void response.end(JSON.stringify({ sealed, ...about }));
  const { out } = await run("x", "--seal-to", join(folder, "public.pem"));
  expect(JSON.parse(out)).toEqual({ ...sealed, receipt: "r-1" });
  const { x = "", y = "" } = publicKey.export({ format: "jwk" });
  const point = Buffer.concat([Buffer.from([4]), Buffer.from(x, "base64url"), Buffer.from(y, "base64url")]);
  expect(asked[0]?.body).toEqual({ sealTo: point.toString("base64url") });
});

test("takes no private key and no other file for the key to seal to", async () => {
  for (const name of ["private.pem", "policy.json", "missing"]) {
    const { status, out } = await run("x", "--seal-to", join(folder, name));
    expect([status, out]).toEqual([2, ""]);
  }
  expect(asked).toEqual([]);
});

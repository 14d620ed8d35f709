import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runStrongroom } from "../../../services/cli/program.ts";
import { type BrokerStage, startBrokerStage } from "../../intake/broker/stage.ts";

let stage: BrokerStage;
let folder: string;
beforeAll(async () => {
  stage = await startBrokerStage();
  folder = await mkdtemp(join(tmpdir(), "strongroom-cli-"));
  await writeFile(join(folder, "token"), stage.token("admin"), { mode: 0o600 });
  await stage.put("stripe");
});
afterAll(async () => {
  await stage.close();
  await rm(folder, { recursive: true });
});

/** Runs a command line as an admin of acme. */
async function run(...line: string[]) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const texts = [stdout, stderr].map(async (stream) => Buffer.concat(await stream.toArray()).toString());
  const environment = {
    STRONGROOM_INTAKE: stage.intake.address,
    STRONGROOM_TOKEN_FILE: join(folder, "token"),
  };
  const status = await runStrongroom(line, environment, stdout, stderr);
  stdout.end();
  stderr.end();
  const [out = "", err = ""] = await Promise.all(texts);
  return { status, out, err };
}

test("call: the destination's body on stdout as it is, its status and the receipt on stderr", async () => {
  stage.frames.serve = async ({ go, whole }) => {
    await go();
    whole(404, [["content-type", "text/plain"]], "no such\ncharge");
  };
  const plain = await run("credential", "call", "stripe", "GET", "/v1/charges?page=2");
  expect(plain).toMatchObject({ status: 0, out: "no such\ncharge" });
  expect(plain.err).toMatch(/^404 from the destination; receipt [0-9a-f-]{36}\n$/);
  const included = await run("credential", "call", "stripe", "GET", "/v1/charges", "--include");
  expect(included.out).toMatch(
    /^HTTP\/1\.1 404\r\n[\s\S]*content-type: text\/plain\r\n[\s\S]*\r\n\r\nno such\ncharge$/,
  );
  const json = JSON.parse((await run("credential", "call", "stripe", "GET", "/v1/charges", "--json")).out);
  expect(json).toMatchObject({ status: 404, encoding: "utf8", body: "no such\ncharge" });
});

test("call: a body goes along; what is refused here or there says why", async () => {
  stage.frames.serve = async ({ go, body, whole }) => {
    await go();
    const parts: Buffer[] = [];
    for await (const part of body()) parts.push(part);
    whole(200, [], Buffer.concat(parts).toString());
  };
  const type = ["--header", "Content-Type: application/json"];
  const sent = await run("credential", "call", "stripe", "post", "/v1/x", ...type, "--data", '{"a":1}');
  expect(sent).toMatchObject({ status: 0, out: '{"a":1}' });
  expect((await run("credential", "call", "stripe", "GET", "/v1/../x")).status).toBe(2);
  expect((await run("credential", "call", "stripe", "GET", "/v1/x", "--data", "x")).status).toBe(2);
  const refused = await run("credential", "call", "stripe", "GET", "/v9/x");
  expect(refused).toMatchObject({ status: 77, out: "" });
  expect(refused.err).toContain("path: no rule allows this path");
  expect((await run("credential", "call", "nothing", "GET", "/v1/x")).status).toBe(3);
});

test("call: an answer that breaks off is a failure", async () => {
  stage.frames.serve = async ({ go, head, data, request }) => {
    await go();
    head();
    await data("the beginning");
    setTimeout(() => request.socket.destroy(), 300);
  };
  const cut = await run("credential", "call", "stripe", "GET", "/v1/x");
  expect(cut).toMatchObject({ status: 1, out: "the beginning" });
  expect(cut.err).toContain("broke off");
});

test("rules: show, check with an exit status, set from a file", async () => {
  const shown = await run("credential", "rules", "show", "stripe");
  expect(shown.out).toMatch(/^RULE +METHODS[\s\S]*read +GET,HEAD +\/v1\/\*\* +page +level reader/);
  const allowed = await run("credential", "rules", "check", "stripe", "GET", "/v1/x");
  expect(allowed).toMatchObject({ status: 0, out: "allowed by read (/v1/**)\n" });
  const denied = await run(
    "credential",
    "rules",
    "check",
    "stripe",
    "DELETE",
    "/admin/x",
    "--as-level",
    "writer",
  );
  expect(denied).toMatchObject({ status: 1, out: "not allowed: path: no rule allows this path\n" });
  await writeFile(join(folder, "rules.json"), JSON.stringify([{ id: "Bad Id" }]));
  expect((await run("credential", "rules", "set", "stripe", join(folder, "rules.json"))).status).toBe(2);
  await writeFile(join(folder, "none.json"), "not JSON");
  expect((await run("credential", "rules", "set", "stripe", join(folder, "none.json"))).status).toBe(2);
});

test("list and show have credentials of the broker", async () => {
  expect((await run("credential", "list")).out).toMatch(
    /stripe +1 +enabled +by rules +https:\/\/api\.example\.com/,
  );
  expect((await run("credential", "show", "stripe")).out).toMatch(
    /rule +read: GET,HEAD \/v1\/\*\*, for level reader/,
  );
});

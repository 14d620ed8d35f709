import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { recordsWith, serviceLines, vaultLines } from "../../../services/cli/platform/trace.ts";

const ID = "5f0c9f5e-0000-4000-8000-000000000001";
let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "strongroom-trace-"));
});
afterAll(() => rm(dir, { recursive: true }));

test("a log is read with what it was rotated to, the oldest first; what is no record is passed over", async () => {
  const path = join(dir, "audit.log");
  await writeFile(`${path}.2`, `{"n":1,"id":"${ID}"}\n{"n":0}\n`);
  await writeFile(`${path}.1`, `not json ${ID}\n{"n":2,"id":"${ID}"}\n`);
  await writeFile(path, `{"n":3,"id":"${ID}"}\n{"n":4,"id":"${ID}`);
  expect((await recordsWith(path, ID)).map(({ n }) => n)).toEqual([1, 2, 3]);
  expect(await recordsWith(join(dir, "none.log"), ID)).toEqual([]);
});

const record = (type: string, changes: object = {}) => ({
  type,
  time: "2026-01-01T00:00:00.123456789Z",
  request: { path: "secret/data/x", operation: "read", headers: { "x-request-id": [ID] } },
  auth: { display_name: "jwt-ada", policies: ["reader"] },
  ...changes,
});

test("of a Vault's log the answers are told, by whom and with what error", () => {
  expect(vaultLines([record("request"), record("response", { error: "1 error:\n\t* denied" })], ID)).toEqual([
    {
      at: "2026-01-01T00:00:00.123Z",
      where: "vault",
      what: "read secret/data/x by jwt-ada (reader): 1 error: * denied",
    },
  ]);
});

test("a request that was never answered is told as that; another's is not told", () => {
  expect(vaultLines([record("request")], ID)[0]?.what).toContain("no response recorded");
  const other = record("response", { request: { path: "x", operation: "read", headers: {} }, error: ID });
  expect(vaultLines([other], ID)).toEqual([]);
});

test("of a service's log the lines with the id itself are told", () => {
  const line = {
    time: "t",
    requestId: ID,
    method: "GET",
    route: "secret/data",
    status: 401,
    reason: "revoked",
    ms: 1.5,
  };
  expect(serviceLines("gateway", [line, { ...line, requestId: "other" }], ID)).toEqual([
    { at: "t", where: "gateway", what: "GET  secret/data  401  revoked  1.5 ms" },
  ]);
});

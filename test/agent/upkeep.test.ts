import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, inject, test } from "vitest";
import { rotateAudit } from "../../services/agent/upkeep.ts";
import { until } from "../shared/process/programs.ts";
import { TestPlatform } from "./platform.ts";

let platform: TestPlatform;
beforeEach(async () => {
  platform = await TestPlatform.create(inject("vaultBinary"));
});
afterEach(() => platform.remove());

async function call(listen: string, method: string, path: string, body?: object, token = "") {
  const response = await fetch(`http://${listen}/v1/${path}`, {
    method,
    headers: { "x-vault-token": token },
    ...(body && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text ? JSON.parse(text) : undefined };
}

test("audit files are rotated under load, Vault goes on in a new one, and no entry is lost", async () => {
  const agent = await platform.agent({ auditLimits: { bytes: 50_000, keep: 50 } });
  const spec = await platform.plainSpec();
  const { pid } = await platform.running(spec);
  const dir = dirname(platform.runtime.auditFiles(spec.org, 1)[0]);
  const { body: keys } = await call(spec.listen, "PUT", "sys/init", {
    secret_shares: 1,
    secret_threshold: 1,
  });
  await call(spec.listen, "PUT", "sys/unseal", { key: keys.keys[0] });
  for (const name of ["audit-1", "audit-2"]) {
    const options = { type: "file", options: { file_path: join(dir, `${name}.log`) } };
    await until(async () => {
      return (await call(spec.listen, "PUT", `sys/audit/${name}`, options, keys.root_token)).status === 204;
    });
  }

  const ids = new Set<string>();
  const rotated = async () => (await readdir(dir)).filter((name) => /^audit-1\.log\.\d+$/.test(name));
  while ((await rotated()).length < 3) {
    const answers = Array.from({ length: 20 }, () =>
      call(spec.listen, "GET", "auth/token/lookup-self", undefined, keys.root_token),
    );
    for (const { body } of await Promise.all(answers)) ids.add(body.request_id);
  }

  const now = await platform.runtime.observe(spec.org);
  expect(now).toMatchObject({ state: "running", pid, starts: 1 });
  expect(now).not.toHaveProperty("lastError");
  await agent.close();
  for (const device of ["audit-1", "audit-2"]) {
    const files = (await readdir(dir)).filter((name) => name.startsWith(`${device}.log`));
    const found: string[] = [];
    for (const file of files) {
      expect((await stat(join(dir, file))).mode & 0o777).toBe(0o600);
      for (const line of (await readFile(join(dir, file), "utf8")).trim().split("\n")) {
        const { type, request } = JSON.parse(line || "{}");
        if (type === "response" && ids.has(request.id)) found.push(request.id);
      }
    }
    expect(found.sort()).toEqual([...ids].sort());
  }
});

test("the oldest are dropped, other files are left alone, and a rotation that was cut off is completed", async () => {
  const dir = platform.folder;
  const write = (name: string, text: string) => writeFile(join(dir, name), text);
  const limits = { bytes: 10, keep: 2 };
  await write("audit-1.log", "longer than ten");
  await write("audit-1.log.1", "one");
  await write("audit-1.log.2", "two");
  await write("audit-2.log", "short");
  await write("vault.log", "longer than ten");
  expect(await rotateAudit(dir, limits)).toBe(true);
  expect((await readdir(dir)).sort()).toEqual(["audit-1.log.1", "audit-1.log.2", "audit-2.log", "vault.log"]);
  expect(await readFile(join(dir, "audit-1.log.2"), "utf8")).toBe("one");

  expect(await rotateAudit(dir, limits)).toBe(true);
  expect(await readFile(join(dir, "audit-1.log.1"), "utf8")).toBe("longer than ten");
  await write("audit-1.log", "");
  expect(await rotateAudit(dir, limits)).toBe(false);
});

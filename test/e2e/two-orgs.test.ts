import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { orgServerName } from "../../services/shared/org.ts";
import { Secret } from "../../services/shared/secret.ts";
import { loginWithJwt } from "../../services/shared/vault/platform-jwt.ts";
import { type Platform, startPlatform } from "../harness/platform.ts";

let platform: Platform;
let acme: { id: string };
let globex: { id: string };

beforeAll(async () => {
  platform = await startPlatform();
  [acme, globex] = await Promise.all([
    platform.createOrg("acme", "org_acme"),
    platform.createOrg("globex", "org_globex"),
  ]);
});
afterAll(() => platform?.stop());

interface Answer {
  status: number;
  requestId: string;
  body: { data?: { data?: Record<string, unknown> }; errors?: string[] };
}

async function call(token: string, method: string, path: string, body?: object): Promise<Answer> {
  const response = await fetch(`${platform.gateway}/v1/${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body && { "content-type": "application/json" }) },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  const text = await response.text();
  return {
    status: response.status,
    requestId: response.headers.get("x-request-id") ?? "",
    body: text === "" ? {} : JSON.parse(text),
  };
}

const writer = (org: string, sub = "w") => platform.token({ org, groups: ["writer"], sub });

/** Everything the org's Vault has recorded: each request it answered, with the id the gateway gave it. */
async function audited(org: string): Promise<string> {
  return await readFile(join(platform.state, "instances", org, "1", "audit-1.log"), "utf8");
}

test("each org reads what it wrote, and only that", async () => {
  const [a, g] = await Promise.all([writer("org_acme"), writer("org_globex")]);
  expect((await call(a, "POST", "secret/data/app/db", { data: { owner: "acme" } })).status).toBe(200);
  expect((await call(g, "GET", "secret/data/app/db")).status).toBe(404);
  expect((await call(g, "POST", "secret/data/app/db", { data: { owner: "globex" } })).status).toBe(200);
  expect((await call(a, "GET", "secret/data/app/db")).body.data?.data).toEqual({ owner: "acme" });
  expect((await call(g, "GET", "secret/data/app/db")).body.data?.data).toEqual({ owner: "globex" });
});

test("nothing that globex sends reaches acme's Vault, and each request of acme's does, by its id", async () => {
  const [a, g] = await Promise.all([writer("org_acme"), writer("org_globex")]);
  const foreign: Answer[] = [];
  for (const path of [
    "secret/data/app/db",
    "secret/metadata/app/db",
    "sys/internal/ui/mounts",
    "sys/health",
  ]) {
    foreign.push(await call(g, "GET", path));
  }
  foreign.push(await call(g, "POST", "secret/data/app/other", { data: { x: 1 } }));
  const own = await call(a, "GET", "secret/data/app/db");
  const log = await audited(acme.id);
  expect(log).toContain(own.requestId);
  for (const answer of foreign) {
    expect(answer.requestId).not.toBe("");
    expect(log).not.toContain(answer.requestId);
  }
  expect(await audited(globex.id)).toContain(foreign[0]?.requestId);
});

test("a header, a host or a query cannot choose the org", async () => {
  const g = await writer("org_globex");
  const attempts = await Promise.all(
    [
      { headers: { "X-Vault-Namespace": acme.id } },
      { headers: { "X-Strongroom-Org": acme.id } },
      { headers: { "X-Forwarded-Host": orgServerName(acme.id) } },
      { headers: { Host: orgServerName(acme.id) } },
      { query: "?org=org_acme" },
    ].map(async ({ headers, query }: { headers?: Record<string, string>; query?: string }) => {
      const response = await fetch(`${platform.gateway}/v1/secret/data/app/db${query ?? ""}`, {
        headers: { ...headers, authorization: `Bearer ${g}` },
      });
      return await response.text();
    }),
  );
  for (const text of attempts) expect(text).not.toContain('"owner":"acme"');
});

test("acme's Vault, asked directly, refuses globex's token at every role", async () => {
  const { listen } = await platform.client.org(acme.id);
  const endpoint = {
    address: `https://${listen}`,
    ca: await readFile(join(platform.state, "gateway", "ca.pem"), "utf8"),
    serverName: orgServerName(acme.id),
  };
  const foreign = new Secret(await platform.token({ org: "org_globex", groups: ["admin", "writer"] }));
  const own = new Secret(await platform.token({ org: "org_acme", groups: ["admin", "writer"] }));
  for (const role of ["reader", "writer", "admin"]) {
    await expect(loginWithJwt(endpoint, "jwt", role, foreign)).rejects.toMatchObject({ name: "VaultError" });
    await expect(loginWithJwt(endpoint, "jwt", role, own)).resolves.toBeDefined();
  }
});

test("one person with two live tokens keeps exactly each token's rights, over 100 interleaved requests", async () => {
  const reader = await platform.token({ org: "org_acme", sub: "one-person" });
  const writing = await platform.token({ org: "org_acme", sub: "one-person", groups: ["writer"] });
  expect((await call(writing, "POST", "secret/data/shared", { data: { n: 0 } })).status).toBe(200);
  const statuses: string[] = [];
  for (let n = 1; n <= 25; n++) {
    const [readByReader, writeByReader, readByWriter, writeByWriter] = await Promise.all([
      call(reader, "GET", "secret/data/shared"),
      call(reader, "POST", "secret/data/shared", { data: { n } }),
      call(writing, "GET", "secret/data/shared"),
      call(writing, "POST", "secret/data/shared", { data: { n } }),
    ]);
    statuses.push([readByReader, writeByReader, readByWriter, writeByWriter].map((a) => a.status).join(" "));
  }
  expect(new Set(statuses)).toEqual(new Set(["200 403 200 200"]));
});

test("a deleted org's tokens are refused; created again with the same name and claim it is new and empty", async () => {
  const before = await platform.createOrg("hooli", "org_hooli");
  const token = await writer("org_hooli");
  expect((await eventually(() => call(token, "POST", "secret/data/app", { data: { x: 1 } }))).status).toBe(
    200,
  );

  await platform.client.deleteOrg(before.id);
  await expect
    .poll(async () => (await platform.client.org(before.id)).state, { timeout: 20_000 })
    .toBe("deleted");
  await expect.poll(async () => (await call(token, "GET", "secret/data/app")).status).toBe(403);

  const after = await platform.createOrg("hooli", "org_hooli");
  expect(after.id).not.toBe(before.id);
  await expect.poll(async () => (await call(token, "GET", "secret/data/app")).status).toBe(404);
  expect((await call(await writer("org_acme"), "GET", "secret/data/app/db")).status).toBe(200);
});

/** The directory reaches the gateway within about a second of an org's being ready. */
async function eventually(attempt: () => Promise<Answer>): Promise<Answer> {
  const until = Date.now() + 20_000;
  let answer = await attempt();
  while (answer.status === 403 && Date.now() < until) {
    await sleep(100);
    answer = await attempt();
  }
  return answer;
}

import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Intake } from "../../services/cli/intake-client.ts";
import { StateFolder } from "../../services/cli/platform/state-folder.ts";
import type { UseRequest, UseWithResult } from "../../services/shared/api/uses.ts";
import { canonicalContext } from "../../services/shared/envelope/context.ts";
import { Secret } from "../../services/shared/secret.ts";
import { appRoleLogin } from "../../services/shared/vault/approle.ts";
import { type VaultClient, VaultError, vaultClient } from "../../services/shared/vault/client.ts";
import { LAUNCHER, type Platform, startPlatform } from "../harness/platform.ts";

const WORKERS = ["worker-integration", "worker-webhook", "worker-feed"];

let folder: string;
let state: StateFolder;
let platform: Platform;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "strongroom-credentials-"));
  state = new StateFolder(join(folder, "state"));
  platform = await startPlatform({ stateDir: state.path, demo: true });
});
afterAll(async () => {
  await platform?.stop();
  await rm(folder, { recursive: true, maxRetries: 5 });
});

const member = (org: string, ...groups: string[]) =>
  new Intake(platform.intake, async () => new Secret(await platform.token({ org: `org_${org}`, groups })));
const destination = () => ({
  origin: platform.demoProvider ?? "",
  methods: ["GET" as const, "POST" as const],
  paths: ["/v1/**"],
  inject: { header: "Authorization", format: "Bearer {}" },
});
const newKey = () => `sk_${randomBytes(18).toString("base64url")}`;

/** Has a credential of acme's used, and waits for the end of it. */
async function use(credential: string, request: UseRequest, withinMs = 20_000): Promise<UseWithResult> {
  const writer = member("acme", "writer");
  const { id } = await writer.createUse({ credential, request });
  await expect.poll(() => writer.use(id), { timeout: withinMs }).not.toMatchObject({ state: "queued" });
  return await writer.use(id);
}
const answerOf = ({ result }: UseWithResult) => (result && "answer" in result ? result.answer : undefined);

describe("a key that acme stores", () => {
  const key = newKey();
  beforeAll(() => member("acme", "admin").putCredential("mine", { value: key, destination: destination() }));

  test("is used at its destination, which sees whose it is", async () => {
    const ended = await use("mine", { method: "GET", path: "/v1/me" });
    expect(ended).toMatchObject({ state: "succeeded", status: 200 });
    expect(JSON.parse(answerOf(ended)?.body ?? "")).toEqual({
      account: expect.stringMatching(/^acct_/),
      key: expect.any(String),
    });
  });

  test("does not come back in an answer that repeats it", async () => {
    const ended = await use("mine", { method: "GET", path: "/v1/echo" });
    const answer = answerOf(ended);
    expect(answer).toMatchObject({ status: 200 });
    expect(answer?.scrubbed).toBeGreaterThanOrEqual(2);
    for (const form of [key, Buffer.from(`Bearer ${key}`).toString("base64url")]) {
      expect(JSON.stringify(ended)).not.toContain(form);
    }
  });

  test("is used once for a job, by whose id the provider knows a repetition", async () => {
    const ended = await use("mine", {
      method: "POST",
      path: "/v1/charges",
      headers: { "Content-Type": "application/json" },
      body: { text: '{"amount":5}' },
    });
    expect(JSON.parse(answerOf(ended)?.body ?? "")).toMatchObject({
      id: expect.stringMatching(/^ch_/),
      amount: 5,
    });
  });

  test("is sent to no path and by no method but its own", async () => {
    const writer = member("acme", "writer");
    for (const request of [
      { method: "GET", path: "/feed.xml" },
      { method: "DELETE", path: "/v1/me" },
    ] as UseRequest[]) {
      const outcome = await writer.createUse({ credential: "mine", request }).then(
        ({ id }) => use("mine", request).then(({ state }) => `${id} ${state}`),
        (error: { code?: string }) => error.code,
      );
      expect(outcome).toMatch(/invalid_request|invalid_destination|forbidden|invalid_value|failed$/);
    }
  });

  test("is nothing that globex can see or use", async () => {
    const globex = member("globex", "admin");
    const request: UseRequest = { method: "GET", path: "/v1/me" };
    await expect(globex.credential("mine")).rejects.toMatchObject({ code: "not_found" });
    await expect(globex.createUse({ credential: "mine", request })).rejects.toMatchObject({
      code: "not_found",
    });
    await expect(globex.deleteCredential("mine")).rejects.toMatchObject({ code: "not_found" });
    expect(await globex.credentials()).toEqual([]);
  });

  test("is in no file of the platform in clear, and on no command line", async () => {
    await use("mine", { method: "GET", path: "/v1/echo" });
    const forms = [key, Buffer.from(key).toString("base64").slice(0, 20), Buffer.from(key).toString("hex")];
    const files = readdirSync(state.path, { recursive: true, withFileTypes: true }).filter((e) => e.isFile());
    expect(files.length).toBeGreaterThan(20);
    const hits = files
      .map((entry) => join(entry.parentPath, entry.name))
      .filter((path) => forms.some((form) => readIfThere(path).includes(form)));
    expect(hits).toEqual([]);
    const lines = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
    expect(lines.filter((pid) => readIfThere(`/proc/${pid}/cmdline`).includes(key))).toEqual([]);
  });

  test("is used by another worker if its worker is killed", async () => {
    const before = await platform.servicePid("worker-integration");
    process.kill(before, "SIGKILL");
    const ended = await use("mine", { method: "GET", path: "/v1/me" }, 90_000);
    expect(ended).toMatchObject({ state: "succeeded" });
    expect(await platform.servicePid("worker-integration")).not.toBe(before);
    expect(platform.stderr()).toContain("worker-integration: ended by SIGKILL; restarting");
  });
});

test("a worker that has handled as many jobs as it may is replaced, which is no failure to report", async () => {
  await member("acme", "admin").putCredential("again", { value: newKey(), destination: destination() });
  const settings = state.envFile("worker-integration");
  const before = await readFile(settings, "utf8");
  await writeFile(settings, `${before}STRONGROOM_MAX_JOBS='1'\n`);
  const pid = () => platform.servicePid("worker-integration").catch(() => 0);
  const replaced = (old: number) => expect.poll(pid).not.toSatisfy((now) => now === old || now === 0);
  const first = await pid();
  process.kill(first, "SIGKILL");
  await replaced(first);
  const told = () => platform.stderr().match(/^worker-integration: .*$/gm)?.length;
  const toldBefore = told();
  for (let jobs = 0; jobs < 2; jobs++) {
    const now = await pid();
    expect(await use("again", { method: "GET", path: "/v1/me" }, 90_000)).toMatchObject({
      state: "succeeded",
    });
    await replaced(now);
  }
  expect(told()).toBe(toldBefore);
  await writeFile(settings, before);
});

function readIfThere(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch {
    return Buffer.alloc(0);
  }
}

/** A client of the internal Vault with a service's own login. */
async function loggedIn(service: string): Promise<VaultClient> {
  const endpoint = { address: platform.internalVault };
  const file = async (name: string) => new Secret((await readFile(state.at(service, name), "utf8")).trim());
  const login = appRoleLogin(endpoint, { roleId: await file("role-id"), secretId: await file("secret-id") });
  return vaultClient(endpoint, () => login.token());
}
const statusOf = (answer: Promise<unknown>) =>
  answer.then(
    () => 200,
    (error: unknown) => {
      if (error instanceof VaultError) return error.status;
      throw error;
    },
  );
const context = Buffer.from(
  canonicalContext({
    ...{ org: "oaaaaaaaaaaaaaaa", credential: "mine", version: "1", purpose: "integration", policy: "-" },
  }),
).toString("base64");
/** A data key as the intake makes it, encrypted: what every attempt below tries to have opened. */
const made = async (key: string) =>
  (
    (await (await loggedIn("intake")).write(`credential-keys/datakey/plaintext/${key}`, { context }))
      .data as {
      ciphertext: string;
    }
  ).ciphertext;

describe("with the intake's live login", () => {
  test.each(["integration", "webhook"])("no data key of %s is opened, in whatever way", async (key) => {
    const vault = await loggedIn("intake");
    const ciphertext = await made(key);
    const one = { ciphertext, context };
    const attempts: [string, object][] = [
      [`decrypt/${key}`, one],
      [`decrypt/${key}`, { batch_input: [one] }],
      [`rewrap/${key}`, one],
      [`datakey/wrapped/${key}`, { context }],
      [`encrypt/${key}`, { plaintext: "", context }],
      [`keys/${key}`, {}],
      [`keys/${key}/config`, { exportable: true, allow_plaintext_backup: true }],
      [`keys/${key}/rotate`, {}],
      [`keys/own`, { type: "aes256-gcm96" }],
      [`restore/${key}`, { backup: "" }],
      [`cache-config`, { size: 1 }],
    ];
    for (const [path, body] of attempts) {
      expect(await statusOf(vault.write(`credential-keys/${path}`, body)), path).toBe(403);
    }
    for (const spelling of [
      `decrypt/${key}%2F`,
      `decrypt/./${key}`,
      `decrypt//${key}`,
      `x/../decrypt/${key}`,
    ]) {
      // Vault sends the client of an odd path to the clean one, which is refused above, or refuses it.
      expect([307, 400, 403, 404]).toContain(await statusOf(vault.write(`credential-keys/${spelling}`, one)));
    }
    const read = [`keys/${key}`, `export/encryption-key/${key}`, `backup/${key}`, `wrapping_key`];
    for (const path of read) expect(await statusOf(vault.read(`credential-keys/${path}`)), path).toBe(403);
    expect(await statusOf(vault.list("credential-keys/keys"))).toBe(403);
  });

  test("nothing else of the internal Vault is open, nor another login to be had", async () => {
    const vault = await loggedIn("intake");
    for (const path of [
      "registry/data/orgs",
      "sys/policies/acl/intake",
      "sys/mounts",
      "transit/keys/directory",
    ]) {
      expect(await statusOf(vault.read(path)), path).toBe(403);
    }
    const grant = { policy: 'path "*" { capabilities = ["update"] }', policies: ["worker-integration"] };
    for (const path of [
      "sys/policies/acl/intake",
      "auth/token/create",
      "auth/approle/role/worker-integration/secret-id",
      "sys/mounts/credential-keys/tune",
    ]) {
      expect(await statusOf(vault.write(path, grant)), path).toBe(403);
    }
  });
});

describe("with a worker's live login", () => {
  test.each([
    ["worker-integration", "integration", "webhook"],
    ["worker-webhook", "webhook", "integration"],
  ])("%s opens with the key %s and its context, and nothing with %s", async (worker, own, other) => {
    const vault = await loggedIn(worker);
    const open = async (key: string, bound: string) =>
      statusOf(
        vault.write(`credential-keys/decrypt/${key}`, { ciphertext: await made(key), context: bound }),
      );
    expect(await open(own, context)).toBe(200);
    expect(await open(own, Buffer.from("{}").toString("base64"))).toBe(400);
    expect(await open(other, context)).toBe(403);
    expect(await statusOf(vault.write(`credential-keys/datakey/plaintext/${other}`, { context }))).toBe(403);
    expect(await statusOf(vault.read(`credential-keys/export/encryption-key/${own}`))).toBe(403);
    expect(await statusOf(vault.read("registry/data/orgs"))).toBe(403);
  });

  test("the worker of feeds has none, and no setting of a key", async () => {
    expect(readdirSync(state.at("worker-feed"))).toEqual(["private-destinations.json"]);
    const settings = await readFile(state.envFile("worker-feed"), "utf8");
    expect(settings).not.toMatch(/KEY|ROLE|SECRET|VAULT/);
  });
});

describe("a worker's process", () => {
  /** Has the worker's own flags, and with them runs a script instead of its program. */
  async function underFlagsOf(worker: string, script: string): Promise<string> {
    const pid = await platform.servicePid(worker);
    const [node = "", ...args] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    const flags = args.filter((arg) => arg.startsWith("--") && !arg.startsWith("--env-file"));
    expect(flags).toContain("--permission");
    return (await promisify(execFile)(node, [...flags, "--eval", script], { env: {} })).stdout.trim();
  }

  test.each(
    WORKERS,
  )("%s reads its own files, and no file of the store, of a login or a key of others", async (worker) => {
    const kind = worker.replace("worker-", "");
    const own = [state.at(worker, "private-destinations.json"), state.at("queues", kind, "jobs.sqlite")];
    const others = [
      state.at("intake", "store.sqlite"),
      state.at("intake", "secret-id"),
      state.at("internal-vault", "unseal-key"),
      state.at("control-plane", "secret-id"),
      state.operatorKey,
      ...WORKERS.filter((each) => each !== worker && each !== "worker-feed").map((each) =>
        state.at(each, "secret-id"),
      ),
      ...["integration", "webhook", "feed"]
        .filter((each) => each !== kind)
        .map((each) => state.at("queues", each, "jobs.sqlite")),
    ];
    for (const path of [...own, ...others]) expect(readIfThere(path).length, path).toBeGreaterThan(0);
    const script = `
      const tried = (path) => { try { require("node:fs").readFileSync(path); return "read"; } catch (error) { return error.code; } };
      console.log(JSON.stringify(${JSON.stringify([...own, ...others])}.map(tried)))`;
    expect(JSON.parse(await underFlagsOf(worker, script))).toEqual([
      ...own.map(() => "read"),
      ...others.map(() => "ERR_ACCESS_DENIED"),
    ]);
  });

  test.each(
    WORKERS,
  )("%s writes nothing but its queues, starts nothing, and has no debugger", async (worker) => {
    const script = `
      const tried = (act) => { try { act(); return "done"; } catch (error) { return error.code ?? error.name; } };
      console.log(JSON.stringify([
        tried(() => require("node:fs").writeFileSync(${JSON.stringify(state.at(worker, "kept"))}, "")),
        tried(() => require("node:fs").writeFileSync(${JSON.stringify(state.at("queues", "written"))}, "")),
        tried(() => require("node:child_process").execFileSync("/bin/true")),
        tried(() => new (require("node:worker_threads").Worker)("", { eval: true })),
        tried(() => require("node:inspector").open(0)),
      ]))`;
    const denied = "ERR_ACCESS_DENIED";
    expect(JSON.parse(await underFlagsOf(worker, script))).toEqual([denied, denied, denied, denied, denied]);
  });

  test.each(
    WORKERS,
  )("%s listens nowhere, leaves no core file, and begins with an environment without settings", async (worker) => {
    const pid = await platform.servicePid(worker);
    expect(listening(pid)).toEqual([]);
    expect(listening(await platform.servicePid("intake"))).not.toEqual([]);
    expect(readFileSync(`/proc/${pid}/limits`, "utf8")).toMatch(/^Max core file size +0 +0 /m);
    const names = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").filter(Boolean);
    expect(
      names
        .map((each) => each.split("=")[0])
        .filter((name) => name !== "PWD")
        .sort(),
    ).toEqual(["HOME", "MALLOC_ARENA_MAX", "PATH"]);
  });
});

/** The TCP sockets on which a process listens. */
function listening(pid: number): string[] {
  const held = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      return "";
    }
  });
  const LISTEN = "0A";
  return ["tcp", "tcp6"]
    .flatMap((name) => readFileSync(`/proc/net/${name}`, "utf8").trim().split("\n").slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , status, , , , , , inode]) => status === LISTEN && held.includes(`socket:[${inode}]`))
    .map(([, local = ""]) => local);
}

test("the README's commands work as they stand there", { timeout: 240_000 }, async () => {
  const readme = await readFile(join(dirname(LAUNCHER), "../../README.md"), "utf8");
  const [, block = ""] = /^## Credentials.*?```sh\n(.*?)```/ms.exec(readme) ?? [];
  const commands = block.split("\n").filter((line) => line.trim() !== "");
  expect(commands.length).toBeGreaterThanOrEqual(8);
  const env = {
    PATH: `${join(dirname(LAUNCHER), "../../node_modules/.bin")}:/usr/bin:/bin`,
    HOME: folder,
    STRONGROOM_STATE: state.path,
  };
  for (const command of commands) {
    const line = command
      .replaceAll("npx strongroom", "strongroom")
      .replaceAll("https://provider.strongroom.test:8260", platform.demoProvider ?? "");
    const { status, output } = await shell(line, env);
    const expected = Number(/# exits with (\d+)/.exec(command)?.[1] ?? 0);
    expect(status, `${command}\n${output}`).toBe(expected);
  }
});

function shell(line: string, env: Record<string, string>): Promise<{ status: number; output: string }> {
  return new Promise((resolve) => {
    execFile("sh", ["-c", line], { cwd: folder, env, timeout: 120_000 }, (error, stdout, stderr) =>
      resolve({ status: error ? Number(error.code ?? -1) : 0, output: stdout + stderr }),
    );
  });
}

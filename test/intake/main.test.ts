import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect } from "vitest";
import { selfSignedCertificate } from "../../services/cli/platform/self-signed-certificate.ts";
import { open } from "../../services/shared/envelope/envelope.ts";
import { transitKeyProvider } from "../../services/shared/envelope/transit.ts";
import { newOrgId } from "../../services/shared/org.ts";
import { openQueues, type Queues } from "../../services/shared/queue/open-queues.ts";
import { appRoleLogin } from "../../services/shared/vault/approle.ts";
import { vaultClient } from "../../services/shared/vault/client.ts";
import { policyHash } from "../../services/shared/work/destination.ts";
import { KINDS } from "../../services/shared/work/kinds.ts";
import { type DirectoryServer, newDirectoryKey, startDirectoryServer } from "../harness/directory.ts";
import { test } from "../harness/fixtures.ts";
import { answered, credentialBody } from "../harness/intake.ts";
import type { TestIssuer } from "../harness/tokens.ts";
import type { InternalVault } from "../harness/vault.ts";

const MAIN = fileURLToPath(new URL("../../services/intake/main.ts", import.meta.url));
const key = newDirectoryKey();
const [broker, client] = [selfSignedCertificate("broker", 1), selfSignedCertificate("intake", 1)];

let internal: InternalVault;
let issuer: TestIssuer;
test.beforeAll(({ recordedOrg }) => {
  ({ internal, issuer } = recordedOrg);
});

let dir: string;
let org: string;
let controlPlane: DirectoryServer;
let settings: Record<string, string>;
let children: ChildProcess[];
let output: string;
test.beforeEach(async ({ folder }) => {
  dir = folder;
  org = newOrgId();
  children = [];
  output = "";
  controlPlane = await startDirectoryServer(key);
  await controlPlane.publish({
    ...{ version: 1, issuedAt: new Date().toISOString(), issuers: [issuer.issuer], deleted: [] },
    orgs: [{ id: org, claim: "org_acme", issuer: issuer.issuer.issuer, address: "https://127.0.0.1:1" }],
  });
  const login = internal.logins.intake;
  const files = {
    "directory-key.pem": key.publicPem,
    "ownership-key.pem": key.ownershipPem,
    "role-id": login.roleId.reveal(),
    "secret-id": login.secretId.reveal(),
    "ca.pem": internal.endpoint.ca ?? "",
    "broker.pem": broker.certificate,
    "client.pem": client.certificate,
    "client-key.pem": client.key.reveal(),
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text);
  settings = {
    STRONGROOM_LISTEN: "127.0.0.1:0",
    STRONGROOM_DIRECTORY_URL: controlPlane.url,
    STRONGROOM_DIRECTORY_KEY_FILE: join(dir, "directory-key.pem"),
    STRONGROOM_OWNERSHIP_KEY_FILE: join(dir, "ownership-key.pem"),
    STRONGROOM_DIRECTORY_COPY: join(dir, "directory.jws"),
    STRONGROOM_REVOCATIONS_URL: controlPlane.revocationsUrl,
    STRONGROOM_REVOCATIONS_COPY: join(dir, "revocations.jws"),
    STRONGROOM_STORE: `sqlite:${join(dir, "store.sqlite")}`,
    STRONGROOM_INTEGRATION_KEY: "transit:integration",
    STRONGROOM_WEBHOOK_KEY: "transit:webhook",
    STRONGROOM_BROKER_KEY: "transit:broker",
    STRONGROOM_RECEIPTS_KEY: "transit:receipts",
    STRONGROOM_BROKER_URL: "https://127.0.0.1:1",
    STRONGROOM_BROKER_CERTIFICATES_FILE: join(dir, "broker.pem"),
    STRONGROOM_BROKER_CLIENT_CERTIFICATE_FILE: join(dir, "client.pem"),
    STRONGROOM_BROKER_CLIENT_KEY_FILE: join(dir, "client-key.pem"),
    STRONGROOM_INTERNAL_VAULT_ADDR: internal.endpoint.address,
    ...(internal.endpoint.ca !== undefined && { STRONGROOM_INTERNAL_VAULT_CA_FILE: join(dir, "ca.pem") }),
    STRONGROOM_ROLE_ID_FILE: join(dir, "role-id"),
    STRONGROOM_SECRET_ID_FILE: join(dir, "secret-id"),
    ...Object.fromEntries(
      KINDS.map((kind) => [`STRONGROOM_${kind.toUpperCase()}_QUEUES`, `local:${join(dir, kind)}`]),
    ),
  };
});
afterEach(async () => {
  for (const child of children) await end(child, "SIGKILL");
  await controlPlane.close();
});

let started = 0;
/** Starts an intake as a process of its own. */
async function run(changes: Record<string, string> = {}): Promise<{ child: ChildProcess; address: string }> {
  const name = `intake-${++started}`;
  const addressFile = join(dir, `${name}.address`);
  const all = { ...settings, STRONGROOM_ADDRESS_FILE: addressFile, ...changes };
  const file = join(dir, `${name}.env`);
  await writeFile(
    file,
    Object.entries(all)
      .map((pair) => pair.join("="))
      .join("\n"),
  );
  const child = spawn(process.execPath, [`--env-file=${file}`, MAIN], { env: { PATH: "/usr/bin:/bin" } });
  children.push(child);
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk: Buffer) => {
      output += chunk;
    });
  }
  const read = async () => {
    if (child.exitCode !== null) return "";
    return readFile(addressFile, "utf8").catch(() => undefined);
  };
  await expect.poll(read).toBeDefined();
  return { child, address: (await read()) ?? "" };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) {
    child.kill(signal);
    await once(child, "exit");
  }
  return child.exitCode;
}

const ask = (address: string, method: string, path: string, body?: object) =>
  fetch(`${address}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${issuer.token({ [issuer.issuer.groupsClaim]: ["admin"] })}`,
      ...(body && { "content-type": "application/json" }),
    },
    ...(body && { body: JSON.stringify(body) }),
  });

/** The queues as a worker of kind `integration` has them. */
async function workerQueues({
  onTestFinished,
}: {
  onTestFinished: (fn: () => Promise<void>) => void;
}): Promise<Queues> {
  const queues = await openQueues(`local:${join(dir, "integration")}`);
  onTestFinished(async () => {
    await queues.jobs.close();
    await queues.results.close();
  });
  return queues;
}

const job = { credential: "mail", request: { method: "GET", path: "/v1/x" } };

describe("the intake as a process", () => {
  test("seals with its login at the internal Vault, which opens nothing, and ends cleanly", async ({
    onTestFinished,
  }) => {
    const { child, address } = await run();
    expect((await ask(address, "GET", "/v1/ready")).status).toBe(200);
    expect((await ask(address, "PUT", "/v1/credentials/mail", credentialBody())).status).toBe(201);
    const submitted = (await (await ask(address, "POST", "/v1/jobs", job)).json()) as { id: string };

    const queues = await workerQueues({ onTestFinished });
    const provider = (login: "intake" | "worker-integration") =>
      transitKeyProvider(
        vaultClient(internal.endpoint, appRoleLogin(internal.endpoint, internal.logins[login]).token),
        "integration",
      );
    const opened = Promise.withResolvers<string>();
    const consumption = queues.jobs.consume(
      { concurrency: 1, visibilitySeconds: 30, maxReceives: 3 },
      async ({ body }) => {
        const message = JSON.parse(body);
        const context = {
          ...{ org, credential: "mail", version: "1", purpose: "integration" as const },
          policy: policyHash(message.policy),
        };
        const envelope = Buffer.from(message.material.envelope, "base64");
        await expect(open(provider("intake"), context, envelope)).rejects.toMatchObject({
          reason: "forbidden",
        });
        opened.resolve(Buffer.from(await open(provider("worker-integration"), context, envelope)).toString());
        const at = new Date().toISOString();
        const result = { job: message.job, org, attempt: 1, outcome: answered(), startedAt: at, endedAt: at };
        await queues.results.send({ body: JSON.stringify(result), group: org });
        return { done: true };
      },
    );
    expect(await opened.promise).toBe(credentialBody().value);
    await expect
      .poll(async () => (await (await ask(address, "GET", `/v1/jobs/${submitted.id}`)).json()) as object)
      .toMatchObject({ state: "succeeded", result: { answer: { body: "hello" } } });
    await consumption.stop(1_000);

    expect(await end(child, "SIGTERM")).toBe(0);
    const files = await readdir(dir, { recursive: true, withFileTypes: true });
    const texts = files
      .filter((file) => file.isFile())
      .map((file) => readFile(join(file.parentPath, file.name)));
    for (const text of await Promise.all(texts)) expect(text.includes("canary")).toBe(false);
    expect(output).not.toContain("canary");
    expect(output).not.toMatch(/Warning/);
  });

  test("killed at any time, it loses no job: another sends each, and each ends once", async ({
    onTestFinished,
  }) => {
    const first = await run();
    const second = await run();
    await ask(first.address, "PUT", "/v1/credentials/mail", credentialBody());
    const accepted = new Set<string>();
    const submit = async () => {
      const response = await ask(first.address, "POST", "/v1/jobs", job).catch(() => undefined);
      if (response?.status === 202) accepted.add(((await response.json()) as { id: string }).id);
    };
    const submitting = Promise.all(Array.from({ length: 60 }, submit));
    await expect.poll(() => accepted.size).toBeGreaterThan(5);
    await end(first.child, "SIGKILL");
    await submitting;

    const queues = await workerQueues({ onTestFinished });
    const consumption = queues.jobs.consume(
      { concurrency: 4, visibilitySeconds: 30, maxReceives: 3 },
      async ({ body }) => {
        const { job: id } = JSON.parse(body);
        const at = new Date().toISOString();
        const result = { job: id, org, attempt: 1, outcome: answered(200, id), startedAt: at, endedAt: at };
        await queues.results.send({ body: JSON.stringify(result), group: org });
        return { done: true };
      },
    );
    const states = async () => {
      const all: { id: string; state: string }[] = [];
      for (let cursor = ""; ; ) {
        const response = await ask(second.address, "GET", `/v1/jobs?limit=100${cursor}`);
        const page = (await response.json()) as { jobs: typeof all; next?: string };
        all.push(...page.jobs);
        if (page.next === undefined) return all;
        cursor = `&cursor=${page.next}`;
      }
    };
    // Those that were stored and not sent are due ten seconds after they were stored.
    await expect
      .poll(async () => (await states()).every(({ state }) => state === "succeeded"), { timeout: 30_000 })
      .toBe(true);
    const ended = new Set((await states()).map(({ id }) => id));
    expect([...accepted].filter((id) => !ended.has(id))).toEqual([]);
    await consumption.stop(1_000);
  }, 60_000);

  test("is not ready while the internal Vault refuses its login, and says so", async () => {
    await writeFile(join(dir, "secret-id"), "00000000-0000-0000-0000-000000000000");
    const { address } = await run();
    const response = await ask(address, "GET", "/v1/ready");
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ code: "key_provider_unavailable" });
    expect((await ask(address, "PUT", "/v1/credentials/mail", credentialBody())).status).toBe(503);
    expect((await ask(address, "GET", "/v1/health")).status).toBe(200);
  });

  test.each([
    ["an unknown setting", { STRONGROOM_DECRYPT: "1" }, "STRONGROOM_DECRYPT: unknown setting"],
    ["a key of no provider", { STRONGROOM_WEBHOOK_KEY: "file:/key" }, "STRONGROOM_WEBHOOK_KEY"],
    ["a store of no kind", { STRONGROOM_STORE: "memory:" }, "STRONGROOM_STORE"],
    ["ports that are none", { STRONGROOM_DESTINATION_PORTS: "443,70000" }, "STRONGROOM_DESTINATION_PORTS"],
    ["no login", { STRONGROOM_ROLE_ID_FILE: "" }, "STRONGROOM_ROLE_ID_FILE"],
  ])("does not start with %s, and says which", async (_, changes, line) => {
    const { child } = await run(changes);
    expect(child.exitCode).toBe(78);
    await expect.poll(() => output).toContain(line);
    await rm(join(dir, "store.sqlite"), { force: true });
  });
});

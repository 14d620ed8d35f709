import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "node:tls";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import type { Directory } from "../../services/shared/directory/directory.ts";
import { newOrgId } from "../../services/shared/org.ts";
import { issueOrgCertificate } from "../../services/shared/vault/pki.ts";
import { type DirectoryServer, newDirectoryKey, startDirectoryServer } from "../harness/directory.ts";
import { type Recorder, startRecorder } from "../harness/recorder.ts";
import { startIssuer, type TestIssuer, tamper } from "../harness/tokens.ts";
import { type InternalVault, startInternalVault } from "../harness/vault.ts";

const MAIN = fileURLToPath(new URL("../../services/gateway/main.ts", import.meta.url));
const key = newDirectoryKey();

let internal: InternalVault;
let issuer: TestIssuer;
let recorder: Recorder;
let other: Recorder;
beforeAll(async () => {
  [internal, issuer] = await Promise.all([startInternalVault(inject("vaultBinary")), startIssuer()]);
  [recorder, other] = await Promise.all([startRecorder(internal), startRecorder(internal)]);
});
afterAll(async () => {
  await Promise.all([recorder?.close(), other?.close(), issuer?.close()]);
  await internal?.stop();
});

let dir: string;
let controlPlane: DirectoryServer;
let settings: Record<string, string>;
let child: ChildProcess | undefined;
let output: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "strongroom-gateway-"));
  controlPlane = await startDirectoryServer(key);
  await writeFile(join(dir, "directory-key.pem"), key.publicPem);
  await writeFile(join(dir, "ownership-key.pem"), key.ownershipPem);
  await writeFile(join(dir, "ca.pem"), internal.ca);
  settings = {
    STRONGROOM_LISTEN: "127.0.0.1:0",
    STRONGROOM_ADDRESS_FILE: join(dir, "address"),
    STRONGROOM_DIRECTORY_URL: controlPlane.url,
    STRONGROOM_DIRECTORY_KEY_FILE: join(dir, "directory-key.pem"),
    STRONGROOM_OWNERSHIP_KEY_FILE: join(dir, "ownership-key.pem"),
    STRONGROOM_DIRECTORY_COPY: join(dir, "directory.jws"),
    STRONGROOM_REVOCATIONS_URL: controlPlane.revocationsUrl,
    STRONGROOM_REVOCATIONS_COPY: join(dir, "revocations.jws"),
    STRONGROOM_CA_FILE: join(dir, "ca.pem"),
  };
  recorder.clear();
  other.clear();
});
afterEach(async () => {
  await end("SIGKILL");
  await controlPlane.close();
  await rm(dir, { recursive: true });
});

function start(): void {
  output = "";
  const file = join(dir, "gateway.env");
  child = undefined;
  child = spawn(process.execPath, [`--env-file=${file}`, MAIN], { env: { PATH: "/usr/bin:/bin" } });
  const collect = (chunk: Buffer) => {
    output += chunk;
  };
  child.stdout?.on("data", collect);
  child.stderr?.on("data", collect);
}

async function run(changes: Record<string, string | undefined> = {}): Promise<void> {
  const lines = Object.entries({ ...settings, ...changes }).filter(([, value]) => value !== undefined);
  await writeFile(join(dir, "gateway.env"), lines.map((pair) => pair.join("=")).join("\n"));
  await rm(join(dir, "address"), { force: true });
  start();
}

/** Ends it, and gives its exit status. */
async function end(signal: NodeJS.Signals): Promise<number | null | undefined> {
  if (child?.exitCode === null && child.signalCode === null) {
    const exited = once(child, "exit");
    child.kill(signal);
    await exited;
  }
  return child?.exitCode;
}

async function address(): Promise<string> {
  for (;;) {
    if (child?.exitCode !== null) throw new Error(`it has ended: ${output}`);
    const text = await readFile(join(dir, "address"), "utf8").catch(() => "");
    if (text) return text;
    await sleep(20);
  }
}

async function read(): Promise<number> {
  const headers = { authorization: `Bearer ${issuer.token()}` };
  return (await fetch(`${await address()}/v1/secret/data/app/db`, { headers })).status;
}

const entry = (at: Recorder, id = at.org) => ({
  id,
  issuer: issuer.issuer.issuer,
  claim: "org_acme",
  address: at.address,
});
const directory = (version: number, changes: Partial<Directory> = {}): Directory => ({
  ...{
    version,
    issuedAt: "2026-01-01T00:00:00Z",
    issuers: [issuer.issuer],
    orgs: [entry(recorder)],
    deleted: [],
  },
  ...changes,
});

const health = async () =>
  (await (await fetch(`${await address()}/v1/sys/health`)).json()) as Record<string, unknown>;

test("control plane stopped, gateway restarted: it serves from its last directory", async () => {
  await controlPlane.publish(directory(3));
  await run();
  expect(await read()).toBe(200);
  expect(await end("SIGTERM")).toBe(0);
  await controlPlane.close();
  await run();
  expect(await read()).toBe(200);
  expect(recorder.requests.length).toBeGreaterThan(0);
  expect(await health()).toMatchObject({ sealed: false, directory: { loaded: true, refused: null } });
  expect(await end("SIGINT")).toBe(0);
  controlPlane = await startDirectoryServer(key); // for afterEach to close
});

test("without any directory it says so, and serves as soon as there is one", async () => {
  await run();
  const at = await address();
  expect((await fetch(`${at}/v1/sys/health`)).status).toBe(503);
  expect(await read()).toBe(503);
  await controlPlane.publish(directory(1));
  await expect.poll(read).toBe(200);
});

describe("a directory that is not to be trusted changes nothing", () => {
  test("older, tampered, or with acme's pair given to another id; a deletion makes way", async () => {
    await controlPlane.publish(directory(5));
    await run();
    expect(await read()).toBe(200);

    const moved = (version: number, deleted: string[] = []) =>
      directory(version, { orgs: [entry(other)], deleted });
    for (const [bad, reason] of [
      [await key.sign(directory(4, { orgs: [entry(other, newOrgId())] })), "older"],
      [tamper(await key.sign(moved(6)), 1), "signature"],
      [await newDirectoryKey().sign(moved(6)), "signature"],
      [await key.sign(moved(6)), "pair_moved"],
    ] as const) {
      await controlPlane.publish(bad);
      await expect.poll(async () => (await health()).directory).toEqual({ loaded: true, refused: reason });
      expect(await read()).toBe(200);
    }
    expect(other.connections).toBe(0);
    await expect.poll(() => output.match(/"pair_moved"/g)?.length).toBe(1);

    await controlPlane.publish(await key.sign(moved(7, [recorder.org])));
    await expect.poll(async () => (await health()).directory).toEqual({ loaded: true, refused: null });
    expect(await read()).toBe(200);
    expect(other.requests.length).toBeGreaterThan(0);
  });

  test("another owner of a known organization takes an operator's statement", async () => {
    await controlPlane.publish(directory(5));
    await run();
    expect(await read()).toBe(200);
    const ajax = { ...entry(recorder), claim: "org_ajax" };
    const ownership = { org: ajax.id, issuer: ajax.issuer, claim: ajax.claim, serial: 2 };
    const refused = async () => ((await health()).directory as { refused: string | null }).refused;
    await controlPlane.publish(directory(6, { orgs: [ajax] }));
    await expect.poll(refused, { timeout: 5_000 }).toBe("owner_unproven");
    expect(await read()).toBe(200);
    await controlPlane.publish(
      directory(7, { orgs: [{ ...ajax, statement: await key.signOwnership(ownership) }] }),
    );
    await expect.poll(refused, { timeout: 5_000 }).toBe(null);
    expect(await read()).toBe(403);
  });

  test("nor does a copy that was tampered with while the gateway was down", async () => {
    await controlPlane.publish(directory(5));
    await run();
    expect(await read()).toBe(200);
    await end("SIGKILL");
    await controlPlane.close();
    const copy = join(dir, "directory.jws");
    await writeFile(copy, tamper(await readFile(copy, "utf8"), 1));
    await run();
    expect(await read()).toBe(503);
    controlPlane = await startDirectoryServer(key);
  });
});

test("several gateways share one port, and when one ends the others serve on", async () => {
  await controlPlane.publish(directory(3));
  const lines = { first: "", second: "" };
  const collect = (name: keyof typeof lines) =>
    child?.stdout?.on("data", (chunk: Buffer) => {
      lines[name] += chunk;
    });
  await run({ STRONGROOM_SHARE_PORT: "true" });
  const { host } = new URL(await address());
  const first = child;
  collect("first");
  await run({
    ...{ STRONGROOM_SHARE_PORT: "true", STRONGROOM_LISTEN: host },
    STRONGROOM_OWNERSHIP_KEY_FILE: join(dir, "ownership-key.pem"),
    STRONGROOM_DIRECTORY_COPY: join(dir, "second.jws"),
    STRONGROOM_REVOCATIONS_COPY: join(dir, "second-revocations.jws"),
  });
  collect("second");
  await address();
  try {
    await expect
      .poll(
        async () => {
          // Each on a connection of its own.
          await fetch(`http://${host}/v1/sys/health`, { headers: { connection: "close" } });
          return [lines.first, lines.second].every((text) => text.includes('"route":"sys/health"'));
        },
        { timeout: 20_000, interval: 5 },
      )
      .toBe(true);
  } finally {
    first?.kill("SIGTERM");
    if (first?.exitCode === null) await once(first, "exit");
  }
  for (let tries = 0; tries < 20; tries++) expect(await read()).toBe(200);
});

test("metrics listen where they are told to, and nowhere else", async () => {
  await controlPlane.publish(directory(1));
  await run({ STRONGROOM_METRICS_LISTEN: "127.0.0.1:0" });
  expect(await read()).toBe(200);
  await expect.poll(() => output.match(/listening at/g)?.length).toBe(2);
  const own = await address();
  const [metrics] =
    output.match(/(?<=listening at )http:\/\/[0-9.]+:\d+/g)?.filter((each) => each !== own) ?? [];
  const text = await (await fetch(`${metrics}/metrics`)).text();
  expect(text).toContain(
    'strongroom_gateway_requests_total{route="secret/data",decision="allowed",reason="ok"} 1',
  );
  expect((await fetch(`${own}/metrics`)).status).toBe(401);
  expect(await end("SIGTERM")).toBe(0);
});

test("with a certificate it speaks TLS and nothing else, tells browsers to, and takes LIST there too", async () => {
  const { certificate, key: tlsKey } = await issueOrgCertificate(internal.controlPlane, newOrgId(), 3600);
  await writeFile(join(dir, "tls.pem"), certificate);
  await writeFile(join(dir, "tls-key.pem"), tlsKey.reveal(), { mode: 0o600 });
  await controlPlane.publish(directory(1));
  await run({
    STRONGROOM_TLS_CERTIFICATE_FILE: join(dir, "tls.pem"),
    STRONGROOM_TLS_KEY_FILE: join(dir, "tls-key.pem"),
  });
  const { protocol, hostname, port } = new URL(await address());
  expect(protocol).toBe("https:");
  const token = issuer.token();
  const ask = async (method: string, path: string) => {
    // Its name is an organization's, which is no name of a host: the authority is what is checked.
    const socket = connect({
      host: hostname,
      port: Number(port),
      ca: internal.ca,
      checkServerIdentity: () => undefined,
    });
    socket.write(
      `${method} ${path} HTTP/1.1\r\nHost: x\r\nX-Vault-Token: ${token}\r\nConnection: close\r\n\r\n`,
    );
    return (await socket.setEncoding("latin1").toArray()).join("");
  };
  for (const answer of [
    await ask("GET", "/v1/secret/data/a"),
    await ask("GET", "/v1/secret/data/a"), // the same token's second: the caller is known
    await ask("LIST", "/v1/secret/metadata/a"),
    await ask("GET", "/v1/sys/health"),
    await ask("GET", "/v1/nothing"),
  ]) {
    expect(answer.toLowerCase()).toContain(
      "\r\nstrict-transport-security: max-age=63072000; includesubdomains\r\n",
    );
  }
  expect(await ask("LIST", "/v1/secret/metadata/a")).toMatch(/^HTTP\/1\.1 200 /);
  await expect(fetch(`http://${hostname}:${port}/v1/sys/health`)).rejects.toThrow();
});

test("wrong settings are said a line each, and it ends with 78", async () => {
  await writeFile(join(dir, "nonsense.pem"), "nonsense");
  for (const [changes, expected] of [
    [{ STRONGROOM_TYPO: "1" }, /^STRONGROOM_TYPO: unknown setting/],
    [{ STRONGROOM_LISTEN: "8200" }, /^STRONGROOM_LISTEN: /],
    [{ STRONGROOM_METRICS_LISTEN: "9090" }, /^STRONGROOM_METRICS_LISTEN: /],
    [{ STRONGROOM_ORG_LIMIT: "-1" }, /^STRONGROOM_ORG_LIMIT: /],
    [{ STRONGROOM_DIRECTORY_URL: undefined }, /^STRONGROOM_DIRECTORY_URL: missing/],
    [{ STRONGROOM_MAX_TOKEN_LIFETIME_SECONDS: "1h" }, /^STRONGROOM_MAX_TOKEN_LIFETIME_SECONDS: /],
    [{ STRONGROOM_TLS_KEY_FILE: join(dir, "ca.pem") }, /^STRONGROOM_TLS_CERTIFICATE_FILE and .* go together/],
    [{ STRONGROOM_CA_FILE: join(dir, "none.pem") }, /^STRONGROOM_CA_FILE: cannot read .*ENOENT/],
    [{ STRONGROOM_CA_FILE: join(dir, "nonsense.pem") }, /^STRONGROOM_CA_FILE: .* holds no certificate/],
    [
      { STRONGROOM_DIRECTORY_KEY_FILE: join(dir, "nonsense.pem") },
      /^STRONGROOM_DIRECTORY_KEY_FILE: .* holds no public key/,
    ],
    [
      { STRONGROOM_OWNERSHIP_KEY_FILE: join(dir, "nonsense.pem") },
      /^STRONGROOM_OWNERSHIP_KEY_FILE: .* holds no public key/,
    ],
    [{ STRONGROOM_OWNERSHIP_KEY_FILE: undefined }, /^STRONGROOM_OWNERSHIP_KEY_FILE: missing/],
  ] as const) {
    await run(changes);
    if (child) await once(child, "exit");
    expect(child?.exitCode).toBe(78);
    expect(output).toMatch(expected);
  }
});

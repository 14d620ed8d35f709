import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  BUILD_WITHIN_MS,
  cargoProject,
  goProject,
  mavenProject,
  npmClient,
  pythonProject,
} from "../harness/client-projects.ts";
import type { ForeignClient } from "../harness/clients.ts";
import { type ServedOrg, startServedOrg } from "../harness/served-org.ts";

/** Libraries as their makers ship them: each does what an application does, and prints what it saw. */

const run = promisify(execFile);
const RUN_WITHIN_MS = 120_000;

let org: ServedOrg;
beforeAll(async () => {
  org = await startServedOrg();
});
afterAll(() => org?.stop());

const seenBy = async ({ file, args, env }: ForeignClient) => {
  const tokens = { VAULT_TOKEN: org.token("writer"), READER_TOKEN: org.token() };
  const environment = {
    PATH: "/usr/bin:/bin",
    HOME: org.home,
    ...env,
    VAULT_ADDR: org.gateway.url,
    ...tokens,
  };
  const { stdout } = await run(file, args, { env: environment, timeout: RUN_WITHIN_MS });
  return JSON.parse(stdout);
};

const DENIED = expect.stringContaining("permission denied");

test("hashi-vault-js", { timeout: BUILD_WITHIN_MS }, async () => {
  expect(await seenBy(await npmClient("hashi-vault-js"))).toEqual({
    echoed: true,
    written: 1,
    updated: 2,
    read: { user: "b" },
    version: { user: "app" },
    odd: { n: 1 },
    listed: ["db", "ordner ü/"],
    below: ["it's a (b)!"],
    deleted: { status: 404 },
    undeleted: { user: "b" },
    metadata: 2,
    missing: { status: 404, errors: [] },
    forbidden: { status: 403, errors: [DENIED] },
    sealed: false,
    healthy: true,
    lookup: ["writer"],
    renewable: false,
    revoked: { status: 403, errors: [expect.stringContaining("invalid token")] },
  });
});

test("@litehex/node-vault", { timeout: BUILD_WITHIN_MS }, async () => {
  expect(await seenBy(await npmClient("litehex-node-vault"))).toEqual({
    written: 1,
    read: { user: "app" },
    patched: { user: "other" },
    odd: { n: "1" },
    listed: ["db", "ordner ü/"],
    below: ["a (b)!"],
    deleting: true,
    undeleting: true,
    metadata: 2,
    missing: { status: 404, error: "Not Found" },
    version: { status: 404, error: "Not Found" },
    forbidden: { status: 403, error: DENIED },
    sealed: false,
    engine: { status: 403, error: expect.stringContaining("not served here") },
  });
});

test("HashiCorp's vault-client-go", { timeout: BUILD_WITHIN_MS }, async ({ skip }) => {
  const client = await goProject("vault-client-go");
  if (!client) return skip("there is no Go");
  expect(await seenBy(client)).toEqual({
    echoed: true,
    read: { user: "other" },
    odd: { n: "1" },
    listed: ["db", "ordner ü/"],
    below: ["it's a (b) & c;d!"],
    top: true,
    deleted: true,
    metadata: 2,
    missing: true,
    forbidden: true,
    lookup: ["writer"],
    renewable: false,
    revoked: true,
  });
});

test("async-hvac", { timeout: BUILD_WITHIN_MS }, async ({ skip }) => {
  const client = await pythonProject("async-hvac");
  if (!client) return skip("there is no CPython 3.11 with pip");
  expect(await seenBy(client)).toEqual({
    authenticated: true,
    read: { user: "app" },
    odd: { n: 1 },
    listed: ["db", "ordner ü/"],
    below: ["it's a (b)!"],
    deleted: null,
    missing: null,
    forbidden: "Forbidden",
    initialized: true,
    sealed: false,
    lookup: ["writer"],
    renewable: false,
    revoked: "Forbidden",
    stillAuthenticated: false,
  });
});

test("Ansible's community.hashi_vault", { timeout: BUILD_WITHIN_MS }, async ({ skip }) => {
  const client = await pythonProject("ansible", { collection: "community/hashi_vault" });
  if (!client) return skip("there is no CPython 3.11 with pip");
  expect(await seenBy(client)).toEqual({
    read: { user: "other" },
    hashi_vault: "other",
    odd: { n: 7 },
    below: ["it's a (b)!"],
    listed: ["db", "ordner ü/"],
    written: 1,
    version: { user: "app" },
    echoed: true,
    lookup: ["writer"],
    forbidden: expect.stringContaining("Permission denied"),
    missing: expect.stringContaining("Invalid or missing path"),
    deleted: expect.stringContaining("Invalid or missing path"),
    revoked: expect.stringContaining("Forbidden"),
  });
});

test("vaultrs", { timeout: BUILD_WITHIN_MS }, async ({ skip }) => {
  const client = await cargoProject("vaultrs", "vaultrs-client");
  if (!client) return skip("there is no Cargo");
  expect(await seenBy(client)).toEqual({
    echoed: [true, true],
    written: 1,
    read: { user: "other" },
    version: { user: "app" },
    odd: { user: "odd" },
    listed: ["db", "ordner ü/"],
    below: ["it's a (b)!"],
    // A 404 that has data and no errors: it cannot parse that, from any Vault.
    deleted: "An error occurred with the request",
    metadata: 2,
    missing: { status: 404, errors: [] },
    forbidden: { status: 403, errors: [DENIED] },
    lookup: ["writer"],
    renewable: false,
    revoked: { status: 403, errors: [expect.stringContaining("invalid token")] },
  });
});

test("spring-vault-core", { timeout: BUILD_WITHIN_MS }, async ({ skip }) => {
  const client = await mavenProject("spring-vault-core");
  if (!client) return skip("there is no Java 17 with Maven");
  expect(await seenBy(client)).toEqual({
    echoed: true,
    patched: true,
    read: { user: "app", port: "1" },
    odd: { n: "1" },
    listed: ["db", "ordner ü/"],
    below: ["it's a (b)!"],
    deleted: true,
    missing: true,
    forbidden: DENIED,
    sealed: false,
    initialized: true,
    lookup: ["writer"],
    renewable: false,
    revoked: DENIED,
  });
});

test("vault-java-driver", { timeout: BUILD_WITHIN_MS }, async ({ skip }) => {
  const client = await mavenProject("vault-java-driver");
  if (!client) return skip("there is no Java 17 with Maven");
  expect(await seenBy(client)).toEqual({
    echoed: true,
    read: "app",
    odd: 0,
    listed: ["db", "folder/"],
    below: ["db"],
    destroyed: 403,
    deleted: 404,
    missing: 404,
    forbidden: 403,
    lookup: ["writer"],
    renewable: false,
    revoked: 403,
  });
});

test("sops encrypts by a transit key, and another decrypts", { timeout: BUILD_WITHIN_MS }, async ({
  skip,
}) => {
  const client = await goProject("sops", "github.com/getsops/sops/v3/cmd/sops");
  if (!client) return skip("there is no Go");
  const sops = async (jwt: string, ...args: string[]) => {
    const env = { PATH: "/usr/bin:/bin", HOME: org.home, VAULT_TOKEN: jwt };
    return (await run(client.file, args, { env, timeout: RUN_WITHIN_MS })).stdout;
  };
  // A key is made by an admin's first use of it.
  await org.gateway.call("POST", "/v1/transit/encrypt/sops", {
    token: org.token("admin"),
    body: { plaintext: "eA==" },
  });
  const plain = join(org.home, "plain.json");
  const sealed = join(org.home, "sealed.json");
  await writeFile(plain, JSON.stringify({ password: "s3cret" }));
  const key = `${org.gateway.url}/v1/transit/keys/sops`;
  const encrypted = await sops(org.token("writer"), "encrypt", "--hc-vault-transit", key, plain);
  expect(encrypted).not.toContain("s3cret");
  await writeFile(sealed, encrypted);
  expect(JSON.parse(await sops(org.token(), "decrypt", sealed))).toEqual({ password: "s3cret" });
  await expect(sops(org.token(), "encrypt", "--hc-vault-transit", key, plain)).rejects.toThrow(
    /permission denied/,
  );
  await expect(sops("x", "decrypt", sealed)).rejects.toThrow(/invalid token/);
});

import { execFile } from "node:child_process";
import { readdir, readFile, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { promisify } from "node:util";
import { decrypt, readMessage, readPrivateKey } from "openpgp";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { OrgRecord } from "../../services/control-plane/registry/records.ts";
import { claimKey } from "../../services/control-plane/registry/registry.ts";
import { Secret } from "../../services/shared/secret.ts";
import { appRoleLogin } from "../../services/shared/vault/approle.ts";
import { vaultClient } from "../../services/shared/vault/client.ts";
import { kv2 } from "../../services/shared/vault/kv.ts";
import { type Platform, startPlatform } from "../harness/platform.ts";

/** The only files that may hold a secret in clear, and which. */
const HOLDERS = [
  /^parameters\//,
  /^internal-vault\/unseal-key$/,
  /^control-plane\/(role-id|secret-id)$/,
  /^identity-provider\/signing-key\.json$/,
  /^instances\/[^/]+\/[0-9]+\/tls\/key\.pem$/,
  /^recovery-key\.asc$/,
  /^operator-key\.pem$/,
  /^(worker-broker\/key|intake\/broker-client-key)\.pem$/,
];
const CANARY = "canary-7f3a91c2-in-a-tenant-secret";
/** Tokens as Vault makes them (service, batch, recovery) and JWTs. */
const TOKEN_SHAPES = [
  /\bhv[sbr]\.[A-Za-z0-9_-]{20,}/,
  /\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{40,}/,
];

let platform: Platform;
let org: { id: string };
/** Secrets by what they are. */
const known = new Map<string, string>();
let commandLines = "";

beforeAll(async () => {
  platform = await startPlatform();
  org = await platform.createOrg("acme", "org_acme");
  const token = await platform.token({ org: "org_acme", groups: ["writer"] });
  const reader = await platform.token({ org: "org_acme" });
  known.set("the canary", CANARY).set("a writer's JWT", token).set("a reader's JWT", reader);
  known.set("an operator's JWT", await platform.operatorToken());

  const write = () =>
    fetch(`${platform.gateway}/v1/secret/data/app`, {
      method: "POST",
      headers: { "x-vault-token": token, "content-type": "application/json" },
      body: JSON.stringify({ data: { canary: CANARY } }),
    });
  // The gateway hears of a new organization within about a second.
  await vi.waitFor(async () => expect((await write()).status).toBe(200), { timeout: 20_000, interval: 100 });
  const read = await fetch(`${platform.gateway}/v1/secret/data/app`, {
    headers: { authorization: `Bearer ${reader}` },
  });
  expect(await read.text()).toContain(CANARY);
  // Requests that fail must not leave their secrets behind either.
  await fetch(`${platform.gateway}/v1/secret/data/${CANARY}`, {
    headers: { authorization: `Bearer ${token}x` },
  });
  await fetch(`${platform.gateway}/v1/secret/data/app`, {
    method: "POST",
    headers: { "x-vault-token": token },
    body: CANARY,
  });
  await fetch(`${platform.controlPlane}/v1/orgs`, {
    method: "POST",
    headers: { authorization: `Bearer ${reader}`, "content-type": "application/json" },
    body: `{"name": "${CANARY}"`,
  });

  for (const [name, value] of await parameters()) known.set(name, value);
  for (const [index, share] of (await recoveryKeys()).entries())
    known.set(`recovery key ${index + 1}`, share);
  known.set("the internal Vault's unseal key", (await text("internal-vault/unseal-key")).trim());
  commandLines = (await promisify(execFile)("ps", ["-ww", "-eo", "args"], { maxBuffer: 16 << 20 })).stdout;
});
afterAll(() => platform?.stop());

const text = (path: string) => readFile(join(platform.state, path), "utf8");

/** Every file under the state folder, read as bytes so that databases are searched too. */
async function files(): Promise<{ path: string; mode: number; content: string }[]> {
  const entries = await readdir(platform.state, { recursive: true, withFileTypes: true });
  return await Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map(async (entry) => {
        const path = join(entry.parentPath, entry.name);
        const { mode } = await stat(path);
        return {
          path: relative(platform.state, path),
          mode: mode & 0o777,
          content: (await readFile(path)).toString("latin1"),
        };
      }),
  );
}

async function parameters(): Promise<[string, string][]> {
  const found = (await files()).filter(({ path }) => path.startsWith("parameters/"));
  return found
    .filter(({ content }) => !content.includes("BEGIN CERTIFICATE"))
    .map(({ path, content }) => [path, content.trim()]);
}

async function recoveryKeys(): Promise<string[]> {
  const { recoveryKeys: encrypted } = await platform.client.org(org.id);
  const privateKey = await readPrivateKey({ armoredKey: await text("recovery-key.asc") });
  return await Promise.all(
    (encrypted ?? []).map(async (share) => {
      const message = await readMessage({ binaryMessage: Buffer.from(share, "base64") });
      return String((await decrypt({ message, decryptionKeys: privateKey })).data);
    }),
  );
}

async function controlPlaneRegistry() {
  const endpoint = { address: platform.internalVault };
  const login = appRoleLogin(endpoint, {
    roleId: new Secret((await text("control-plane/role-id")).trim()),
    secretId: new Secret((await text("control-plane/secret-id")).trim()),
  });
  return kv2(
    vaultClient(endpoint, () => login.token()),
    "registry",
  );
}

test("there is something to look for: an unseal token, recovery keys, JWTs", () => {
  expect([...known.keys()].filter((name) => name.endsWith("unseal-token"))).toHaveLength(1);
  expect([...known.keys()].filter((name) => name.startsWith("recovery key"))).toHaveLength(3);
  expect(known.size).toBeGreaterThanOrEqual(9);
  for (const [name, value] of known) expect(value.length, name).toBeGreaterThan(20);
});

test("a file that holds a secret in clear is one of those named for it, with mode 0600", async () => {
  const held = new Set<string>();
  for (const { path, mode, content } of await files()) {
    const secrets = [...known].filter(([, value]) => content.includes(value)).map(([name]) => name);
    const shaped = TOKEN_SHAPES.some((shape) => shape.test(content));
    if (secrets.length === 0 && !shaped && !/BEGIN (EC |RSA )?PRIVATE KEY/.test(content)) continue;
    held.add(path);
    expect(
      HOLDERS.some((holder) => holder.test(path)) || isPublished(path),
      `${path} holds ${secrets.join(", ") || "a token"}`,
    ).toBe(true);
    expect(mode.toString(8), path).toBe("600");
  }
  expect([...held].some((path) => path.startsWith("parameters/"))).toBe(true);
});

/** What is signed for gateways is a JWS with no secret in it, of the same shape as a token. */
const isPublished = (path: string) =>
  /^(gateway|intake|worker-broker\/published)\/(directory|revocations)\.jws$/.test(path);

test("every file of the state folder is closed to others", async () => {
  for (const { path, mode } of await files()) expect(mode & 0o077, path).toBe(0);
  expect((await stat(platform.state)).mode & 0o077).toBe(0);
});

test("no process shows a secret on its command line", () => {
  expect(commandLines).toContain(platform.state);
  for (const [name, value] of known) expect(commandLines.includes(value), name).toBe(false);
  for (const shape of TOKEN_SHAPES) expect(commandLines).not.toMatch(shape);
});

test("the registry holds no secret in any version", async () => {
  const endpoint = { address: platform.internalVault };
  const login = appRoleLogin(endpoint, {
    roleId: new Secret((await text("control-plane/role-id")).trim()),
    secretId: new Secret((await text("control-plane/secret-id")).trim()),
  });
  const client = vaultClient(endpoint, () => login.token());
  const registry = await controlPlaneRegistry();
  let versions = 0;
  const look = async (path: string): Promise<void> => {
    const current = (await registry.read(path))?.version ?? 0;
    // KV keeps the last ten versions.
    for (let version = Math.max(1, current - 9); version <= current; version++) {
      const body = JSON.stringify(await client.read(`registry/data/${path}?version=${version}`));
      versions++;
      for (const [what, value] of known)
        expect(body.includes(value), `${path} v${version}: ${what}`).toBe(false);
      if (path !== "directory") for (const shape of TOKEN_SHAPES) expect(body, path).not.toMatch(shape);
      expect(body).not.toContain("PRIVATE KEY");
    }
  };
  // The login lists these, and finds the other records by what stands in them.
  for (const kind of ["orgs", "jobs", "idempotency"]) {
    for (const key of await registry.list(kind)) await look(`${kind}/${key}`);
  }
  for (const id of await registry.list("orgs")) {
    const { name, claim, issuer } = (await registry.read(`orgs/${id}`))?.data as unknown as OrgRecord;
    for (const path of [`names/${name}`, `claims/${claimKey(issuer.issuer, claim)}`, `revocations/${id}`]) {
      await look(path);
    }
  }
  for (const path of ["directory", "revocation-index"]) await look(path);
  expect(versions).toBeGreaterThan(10);
});

test("no root token is kept: neither the org's nor the internal Vault's", async () => {
  const endpoint = { address: platform.internalVault };
  const login = appRoleLogin(endpoint, {
    roleId: new Secret((await text("control-plane/role-id")).trim()),
    secretId: new Secret((await text("control-plane/secret-id")).trim()),
  });
  const client = vaultClient(endpoint, () => login.token());
  await expect(client.read(`root-tokens/${org.id}`)).rejects.toMatchObject({ status: 404 });
  expect((await files()).some(({ path }) => path.includes("root-token"))).toBe(false);
});

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, inject } from "vitest";
import { Secret } from "../../services/shared/secret.ts";
import { type VaultClient, vaultClient } from "../../services/shared/vault/client.ts";
import { machineTokens, revokeMachineToken } from "../../services/shared/vault/machine-tokens.ts";
import { compareOrgVault, configureOrgVault } from "../../services/shared/vault/org-vault.ts";
import { loginWithJwt } from "../../services/shared/vault/platform-jwt.ts";
import { test as base, PER_FILE } from "../harness/fixtures.ts";
import type { TestGateway } from "../harness/gateway.ts";
import type { TestIssuer } from "../harness/tokens.ts";
import type { InternalVault, OrgVault } from "../harness/vault.ts";

const test = base.extend("orgVaultChanges", PER_FILE, () => ({ machineTokens: true }));

let internal: InternalVault;
let issuer: TestIssuer;
/** Has machine tokens; the other has none, as is usual. */
let acme: OrgVault;
let globex: OrgVault;
let gateway: TestGateway;
test.beforeAll(({ servedOrgs }) => {
  ({ internal, issuer, gateway } = servedOrgs);
  [acme, globex] = servedOrgs.orgs;
});

const jwt = (level: string, org = "org_acme") =>
  issuer.token({ sub: `${level}-person`, org_id: org, [issuer.issuer.groupsClaim]: [level] });
const CREATE = "/v1/auth/token/create/machine";
const make = (body: object, token = jwt("admin")) => gateway.call("POST", CREATE, { token, body });

/** A machine's token as its maker is given it. */
async function machine(
  level: "reader" | "writer",
  more: object = {},
): Promise<{ token: string; accessor: string }> {
  const { status, json } = await make({ policies: [level], ...more });
  expect(status, JSON.stringify(json)).toBe(200);
  const auth = json.auth as { client_token: string; accessor: string };
  return { token: auth.client_token, accessor: auth.accessor };
}

const maintain = (): Promise<VaultClient> => internal.maintain(acme);

test("an admin makes one; it reads and writes by its level, and says who made it", async () => {
  const reader = await machine("reader", { display_name: "ci", ttl: "2h" });
  expect(reader.token).toMatch(new RegExp(`^${acme.org}\\.hvs\\.`));
  const writer = await machine("writer");
  const call = (method: string, token: string, body?: object) =>
    gateway.call(method, "/v1/secret/data/machine", {
      headers: { "x-vault-token": token },
      ...(body && { body }),
    });
  expect((await call("POST", writer.token, { data: { a: 1 } })).status).toBe(200);
  expect((await call("GET", reader.token)).json.data?.data).toEqual({ a: 1 });
  expect((await call("POST", reader.token, { data: { a: 2 } })).status).toBe(403);
  const looked = await gateway.call("GET", "/v1/auth/token/lookup-self", { token: reader.token });
  expect(looked.json.data).toMatchObject({
    id: reader.token,
    display_name: "token-ci",
    meta: { created_by: "admin-person" },
    orphan: true,
    policies: ["machine", "reader"],
    type: "service",
  });
});

test("the vault program makes one and uses it; it is renewed, and ends itself", async () => {
  const vault = async (token: string, ...args: string[]) => {
    const env = { PATH: "/usr/bin:/bin", HOME: acme.dir, VAULT_ADDR: gateway.url, VAULT_TOKEN: token };
    return (await promisify(execFile)(inject("vaultBinary"), args, { env })).stdout.trim();
  };
  const made = await vault(
    jwt("admin"),
    "token",
    "create",
    "-role=machine",
    "-policy=writer",
    "-ttl=10m",
    "-field=token",
  );
  await vault(made, "kv", "put", "secret/cli-machine", "a=1");
  expect(await vault(made, "kv", "get", "-field=a", "secret/cli-machine")).toBe("1");
  const renewed = JSON.parse(await vault(made, "token", "renew", "-increment=20m", "-format=json"));
  expect(renewed.auth).toMatchObject({ client_token: made, renewable: true });
  expect(renewed.auth.lease_duration).toBeGreaterThan(600);
  const longest = JSON.parse(await vault(made, "token", "renew", "-increment=768h", "-format=json"));
  expect(longest.auth.lease_duration).toBeLessThanOrEqual(86_400);
  await vault(made, "token", "revoke", "-self");
  await expect(vault(made, "kv", "get", "secret/cli-machine")).rejects.toThrow(/Code: 403/);
});

describe("nobody makes more than that", () => {
  test.each<[string, object]>([
    ["admin", { policies: ["admin"] }],
    ["two levels", { policies: ["reader", "writer"] }],
    ["none", {}],
    ["root", { policies: ["root"] }],
    ["another's", { policies: ["platform-maintain"] }],
    ["no end", { policies: ["reader"], period: "1h" }],
    ["a batch token", { policies: ["reader"], type: "batch" }],
    ["a longer life than a day", { policies: ["reader"], explicit_max_ttl: "48h" }],
    ["an alias", { policies: ["reader"], entity_alias: "x" }],
    ["a token of one's choice", { policies: ["reader"], id: "root" }],
    ["another maker's name", { policies: ["reader"], meta: { created_by: "x" } }],
  ])("%s", async (_, body) => {
    expect((await make(body)).status).toBe(400);
  });

  test("who is no admin, or of an organization that has none", async () => {
    for (const level of ["writer", "other"])
      expect((await make({ policies: ["reader"] }, jwt(level))).status).toBe(403);
    expect((await make({ policies: ["reader"] }, jwt("admin", "org_globex"))).status).toBe(403);
    const { token } = await machine("writer");
    expect((await make({ policies: ["reader"] }, token)).status).toBe(403);
  });

  test("asked for a week, it lives a day", async () => {
    const { json } = await make({ policies: ["reader"], ttl: "168h" });
    expect((json.auth as { lease_duration: number }).lease_duration).toBeLessThanOrEqual(86_400);
  });

  test("at the Vault itself: neither the admin nor the login that makes them", async () => {
    const admin = new Secret(jwt("admin"));
    const at = async (role: string) => {
      const { token } = await loginWithJwt(acme.endpoint, "jwt", role, admin);
      return vaultClient(acme.endpoint, () => token);
    };
    const ofAdmin = await at("admin");
    await expect(ofAdmin.write("auth/token/create/machine", { policies: ["reader"] })).rejects.toThrow(/403/);
    const issuing = await at("machine-issuer");
    for (const body of [
      { policies: ["admin"] },
      { policies: ["machine-issuer"] },
      { policies: ["reader"], period: "1h" },
      { policies: ["reader"], no_default_policy: false },
      { policies: ["reader"], explicit_max_ttl: "48h" },
    ]) {
      await expect(issuing.write("auth/token/create/machine", body)).rejects.toThrow(/400|403/);
    }
    for (const path of ["auth/token/create", "auth/token/create-orphan", "secret/data/x"]) {
      await expect(issuing.write(path, { policies: ["reader"] })).rejects.toThrow(/403/);
    }
    await expect(issuing.read("auth/token/lookup-self")).rejects.toThrow(/403/);
    for (const role of ["machine-issuer"]) {
      const reader = new Secret(jwt("writer"));
      await expect(loginWithJwt(acme.endpoint, "jwt", role, reader)).rejects.toThrow(/400/);
      await expect(
        loginWithJwt(globex.endpoint, "jwt", role, new Secret(jwt("admin", "org_globex"))),
      ).rejects.toThrow(/400/);
    }
  });
});

test("the id grants nothing: under another organization's it is refused, and at no other Vault", async () => {
  const { token } = await machine("writer");
  const elsewhere = token.replace(acme.org, globex.org);
  expect((await gateway.call("GET", "/v1/secret/data/x", { token: elsewhere })).status).toBe(403);
  const forged = `${acme.org}.hvs.${"A".repeat(90)}`;
  expect((await gateway.call("GET", "/v1/secret/data/x", { token: forged })).status).toBe(403);
  expect((await gateway.call("GET", "/v1/sys/health", { token: forged })).json).toMatchObject({
    cluster_name: "strongroom-gateway",
  });
});

test("listed and ended by accessor, by an operator; at once, since nothing of it is kept", async () => {
  const { token, accessor } = await machine("reader", { display_name: "doomed" });
  const read = async () => (await gateway.call("GET", "/v1/secret/data/machine", { token })).status;
  expect(await read()).toBe(200);
  const listed = await machineTokens(maintain);
  expect(listed.find((each) => each.accessor === accessor)).toMatchObject({
    name: "doomed",
    level: "reader",
    createdBy: "admin-person",
  });
  expect(await revokeMachineToken(await maintain(), accessor)).toBe(true);
  expect(await read()).toBe(403);
  expect(await revokeMachineToken(await maintain(), accessor)).toBe(false);
});

test("beyond their limit they are told to wait, and people are not", async () => {
  const { token } = await machine("reader");
  const statuses = await Promise.all(
    Array.from(
      { length: 60 },
      async () => (await gateway.call("GET", "/v1/secret/data/machine", { token })).status,
    ),
  );
  expect(statuses.filter((status) => status === 429).length).toBeGreaterThan(10);
  expect(statuses).toContain(200);
  expect((await gateway.call("GET", "/v1/secret/data/machine", { token: jwt("reader") })).status).toBe(200);
});

test("switched off, both ways in are gone, and comparing finds them where they are not", async () => {
  const off = { ...acme.settings, machineTokens: false };
  expect((await compareOrgVault(acme.root, off, { sudo: true })).sort()).toEqual([
    "auth/jwt/role/machine-issuer is not expected",
    "auth/token/roles/machine is not expected",
  ]);
  await configureOrgVault(await maintain(), off);
  expect(await compareOrgVault(acme.root, off, { sudo: true })).toEqual([]);
  expect(await compareOrgVault(acme.root, acme.settings, { sudo: true })).not.toEqual([]);
  await configureOrgVault(await maintain(), acme.settings);
  expect(await compareOrgVault(acme.root, acme.settings, { sudo: true })).toEqual([]);
});

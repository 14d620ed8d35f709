import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { type Answer, startGateway, type TestGateway } from "../harness/gateway.ts";
import { startIssuer, type TestIssuer } from "../harness/tokens.ts";
import { type InternalVault, type OrgVault, startInternalVault, startOrgVault } from "../harness/vault.ts";

let internal: InternalVault;
let issuer: TestIssuer;
let orgs: OrgVault[];
let gateway: TestGateway;
beforeAll(async () => {
  [internal, issuer] = await Promise.all([startInternalVault(inject("vaultBinary")), startIssuer()]);
  orgs = await Promise.all(
    ["org_acme", "org_globex"].map((claim) => startOrgVault(internal, { claim, issuer })),
  );
  const entries = orgs.map(({ org, settings, endpoint }) => ({
    id: org,
    claim: settings.claim,
    address: endpoint.address,
  }));
  gateway = await startGateway({ issuers: [issuer], ca: internal.ca, orgs: entries });
});
afterAll(async () => {
  await gateway?.close();
  await Promise.all(orgs?.map((each) => each.stop()) ?? []);
  await internal?.stop();
  await issuer?.close();
});

type Level = "reader" | "writer" | "admin";
const token = (level: Level, org = "org_acme") =>
  issuer.token({ sub: level, org_id: org, [issuer.issuer.groupsClaim]: [level] });
const plaintext = Buffer.from("card 4711").toString("base64");
const call = (level: Level, path: string, body: object, org?: string): Promise<Answer> =>
  gateway.call("POST", `/v1/transit/${path}`, { token: token(level, org), body });
const ciphertextOf = ({ json }: Answer) => String(json.data?.ciphertext);

test("an admin's first use makes a key; a writer encrypts and rewraps by it, a reader decrypts", async () => {
  expect((await call("writer", "encrypt/orders", { plaintext })).status).toBe(403);
  expect((await call("admin", "encrypt/orders", { plaintext })).status).toBe(200);
  const ciphertext = ciphertextOf(await call("writer", "encrypt/orders", { plaintext }));
  expect(ciphertext).toMatch(/^vault:v1:/);
  expect((await call("reader", "decrypt/orders", { ciphertext })).json.data?.plaintext).toBe(plaintext);
  expect((await call("admin", "keys/orders/rotate", {})).status).toBe(200);
  const rewrapped = ciphertextOf(await call("writer", "rewrap/orders", { ciphertext }));
  expect(rewrapped).toMatch(/^vault:v2:/);
  for (const each of [ciphertext, rewrapped]) {
    expect((await call("reader", "decrypt/orders", { ciphertext: each })).json.data?.plaintext).toBe(
      plaintext,
    );
  }
});

test.each<[Level, string, object]>([
  ["reader", "encrypt/orders", { plaintext }],
  ["reader", "rewrap/orders", { ciphertext: "vault:v1:AAAA" }],
  ["reader", "keys/orders/rotate", {}],
  ["writer", "keys/orders/rotate", {}],
  ["admin", "encrypt/big", { plaintext, type: "rsa-4096" }],
  ["admin", "encrypt/same", { plaintext, convergent_encryption: true }],
])("a %s may not: %s %j", async (level, path, body) => {
  expect((await call(level, path, body)).status).toBe(403);
});

test("keys are the organization's own: of one name, they are two", async () => {
  const ciphertext = ciphertextOf(await call("admin", "encrypt/shared", { plaintext }));
  expect((await call("admin", "encrypt/shared", { plaintext }, "org_globex")).status).toBe(200);
  expect((await call("admin", "decrypt/shared", { ciphertext }, "org_globex")).status).toBe(400);
});

test("many at once, and the vault program", async () => {
  const batch_input = Array.from({ length: 3 }, () => ({ plaintext }));
  const { json } = await call("admin", "encrypt/batch", { batch_input });
  expect(json.data?.batch_results).toHaveLength(3);
  const env = {
    PATH: "/usr/bin:/bin",
    HOME: "/nonexistent",
    VAULT_ADDR: gateway.url,
    VAULT_TOKEN: token("admin"),
  };
  const vault = async (...args: string[]) =>
    (await promisify(execFile)(inject("vaultBinary"), args, { env })).stdout.trim();
  const ciphertext = await vault(
    "write",
    "-field=ciphertext",
    "transit/encrypt/cli",
    `plaintext=${plaintext}`,
  );
  expect(await vault("write", "-field=plaintext", "transit/decrypt/cli", `ciphertext=${ciphertext}`)).toBe(
    plaintext,
  );
});

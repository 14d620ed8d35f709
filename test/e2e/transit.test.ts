import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, inject } from "vitest";
import { Secret } from "../../services/shared/secret.ts";
import { type VaultEndpoint, vaultClient } from "../../services/shared/vault/client.ts";
import { loginWithJwt } from "../../services/shared/vault/platform-jwt.ts";
import { test } from "../harness/fixtures.ts";
import type { Answer, TestGateway } from "../harness/gateway.ts";
import type { TestIssuer } from "../harness/tokens.ts";
import type { OrgVault } from "../harness/vault.ts";

let issuer: TestIssuer;
let orgs: OrgVault[];
let gateway: TestGateway;
test.beforeAll(({ servedOrgs }) => {
  ({ issuer, orgs, gateway } = servedOrgs);
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

test("keys are listed and read by everyone, and what is read is no key", async () => {
  await call("admin", "encrypt/seen", { plaintext });
  const get = (level: Level, path: string) =>
    gateway.call("GET", `/v1/transit/${path}`, { token: token(level) });
  expect((await get("reader", "keys?list=true")).json.data?.keys).toContain("seen");
  const listed = await gateway.call("LIST", "/v1/transit/keys", { token: token("reader") });
  expect(listed.json.data?.keys).toContain("seen");
  const { json } = await get("reader", "keys/seen");
  expect(json.data).toMatchObject({ latest_version: 1, exportable: false, allow_plaintext_backup: false });
  expect(json.data?.keys).toEqual({ 1: expect.any(Number) }); // when it was made
});

test("a key that signs is made by its name; a writer signs, a reader verifies, by an algorithm or without", async () => {
  expect((await call("admin", "keys/signs", { type: "ed25519" })).status).toBe(200);
  const input = plaintext;
  const { signature } = (await call("writer", "sign/signs", { input })).json.data as { signature: string };
  expect((await call("reader", "verify/signs", { input, signature })).json.data?.valid).toBe(true);
  const mac = (await call("writer", "hmac/signs/sha2-512", { input })).json.data as { hmac: string };
  const verified = await call("reader", "verify/signs/sha2-512", { input, hmac: mac.hmac });
  expect(verified.json.data?.valid).toBe(true);
});

test("data keys come wrapped, never plain; and random bytes", async () => {
  await call("admin", "encrypt/wraps", { plaintext });
  const { json } = await call("writer", "datakey/wrapped/wraps", {});
  expect(json.data).toMatchObject({ ciphertext: expect.stringMatching(/^vault:v1:/) });
  expect(json.data).not.toHaveProperty("plaintext");
  expect((await call("admin", "datakey/plaintext/wraps", {})).status).toBe(403);
  for (const path of ["random", "random/16", "random/platform/16"]) {
    const answer = await call("reader", path, { format: "hex" });
    expect(answer.json.data?.random_bytes, path).toMatch(/^[0-9a-f]{32,}$/);
  }
});

test("an admin retires a key's old versions, and changes nothing else of it", async () => {
  await call("admin", "encrypt/old", { plaintext });
  await call("admin", "keys/old/rotate", {});
  const retired = { min_decryption_version: 2, min_encryption_version: 2 };
  expect((await call("admin", "keys/old/config", retired)).status).toBe(200);
  for (const change of ["deletion_allowed", "exportable", "allow_plaintext_backup"]) {
    expect((await call("admin", "keys/old/config", { [change]: true })).status, change).toBe(403);
  }
  expect((await call("admin", "keys/old/config", { auto_rotate_period: "1h" })).status).toBe(403);
});

test("a caller may not choose the status of a batch's answer", async () => {
  const ciphertext = "vault:v1:AAAA";
  const batch = { batch_input: [{ ciphertext }], partial_failure_response_code: 503 };
  await call("admin", "encrypt/batches", { plaintext });
  for (const [path, body] of [
    ["decrypt/batches", JSON.stringify(batch)],
    ["rewrap/batches", JSON.stringify(batch)],
    ["encrypt/batches", JSON.stringify(batch).replace("partial", "p\\u0061rtial")],
  ] as const) {
    const answer = await gateway.call("POST", `/v1/transit/${path}`, { token: token("admin"), body });
    expect(answer).toMatchObject({
      status: 400,
      json: { errors: [expect.stringContaining("partial_failure")] },
    });
  }
  // Nor by a way around the gateway: its Vault's policies say so too.
  const { token: own } = await loginWithJwt(
    orgs[0]?.endpoint as VaultEndpoint,
    "jwt",
    "admin",
    new Secret(token("admin")),
  );
  const direct = vaultClient(orgs[0]?.endpoint as VaultEndpoint, () => own);
  await expect(direct.write("transit/decrypt/batches", batch)).rejects.toMatchObject({ status: 403 });
});

test.each<[Level, string, object]>([
  ["reader", "encrypt/orders", { plaintext }],
  ["reader", "rewrap/orders", { ciphertext: "vault:v1:AAAA" }],
  ["reader", "keys/orders/rotate", {}],
  ["writer", "keys/orders/rotate", {}],
  ["reader", "sign/signs", { input: plaintext }],
  ["reader", "hmac/orders", { input: plaintext }],
  ["reader", "datakey/wrapped/orders", {}],
  ["writer", "keys/mine", {}],
  ["writer", "keys/orders/config", { min_decryption_version: 1 }],
  ["admin", "keys/mine", { type: "rsa-4096" }],
  ["admin", "keys/mine", { exportable: true }],
  ["admin", "keys/mine", { derived: true }],
  ["admin", "keys/mine", { allow_plaintext_backup: true }],
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

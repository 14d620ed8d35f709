import { readFile } from "node:fs/promises";
import { inspect } from "node:util";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import type { CredentialLogin } from "../../../services/cli/platform/credential-logins.ts";
import { canonicalContext } from "../../../services/shared/envelope/context.ts";
import { open, seal } from "../../../services/shared/envelope/envelope.ts";
import { transitKeyProvider } from "../../../services/shared/envelope/transit.ts";
import { Secret } from "../../../services/shared/secret.ts";
import { appRoleLogin } from "../../../services/shared/vault/approle.ts";
import {
  type VaultBody,
  type VaultClient,
  VaultError,
  VaultUnreachableError,
  vaultClient,
} from "../../../services/shared/vault/client.ts";
import { type InternalVault, startInternalVault } from "../../harness/vault.ts";
import { bytes, CONTEXT, keyProviderContract } from "./contract.ts";

let vault: InternalVault;
beforeAll(async () => {
  vault = await startInternalVault(inject("vaultBinary"));
});
afterAll(() => vault?.stop());

const provider = (login: CredentialLogin, key: string) =>
  transitKeyProvider(
    vaultClient(vault.endpoint, appRoleLogin(vault.endpoint, vault.logins[login]).token),
    key,
  );

keyProviderContract(
  () => ({
    intake: provider("intake", "integration"),
    worker: provider("worker-integration", "integration"),
  }),
  () => ({ intake: provider("intake", "webhook"), worker: provider("worker-webhook", "webhook") }),
);

describe("by each login", () => {
  test.each<[CredentialLogin, string]>([
    ["intake", "integration"],
    ["intake", "webhook"],
    ["worker-integration", "webhook"],
    ["worker-webhook", "integration"],
  ])("%s may not open with the key %s, and says so as a failure that may pass", async (login, key) => {
    const envelope = await seal(provider("intake", key), CONTEXT, bytes("sk-live-canary"));
    await expect(open(provider(login, key), CONTEXT, envelope)).rejects.toMatchObject({
      name: "KeyProviderError",
      reason: "forbidden",
    });
  });

  test("a worker seals with its own key, to wrap and to rewrap, and with no other", async () => {
    const own = provider("worker-integration", "integration");
    expect(await open(own, CONTEXT, await seal(own, CONTEXT, bytes("again")))).toEqual(bytes("again"));
    await expect(seal(provider("worker-integration", "webhook"), CONTEXT, bytes("x"))).rejects.toMatchObject({
      reason: "forbidden",
    });
  });
});

test("after the key was rotated, older envelopes open", async () => {
  const envelope = await seal(provider("intake", "webhook"), CONTEXT, bytes("older"));
  await vault.root.write("credential-keys/keys/webhook/rotate");
  const newer = await seal(provider("intake", "webhook"), CONTEXT, bytes("newer"));
  expect(Buffer.from(newer).includes("vault:v2:")).toBe(true);
  const worker = provider("worker-webhook", "webhook");
  expect(await open(worker, CONTEXT, envelope)).toEqual(bytes("older"));
  expect(await open(worker, CONTEXT, newer)).toEqual(bytes("newer"));
});

test("the audit log has no data key and no context in clear", async () => {
  const { plaintext } = await provider("intake", "integration").makeDataKey(CONTEXT);
  const log = await readFile(`${vault.dir}/audit.log`, "utf8");
  expect(log).toContain("credential-keys/datakey/plaintext/integration");
  for (const secret of [plaintext, bytes(canonicalContext(CONTEXT))]) {
    expect(log).not.toContain(Buffer.from(secret).toString("base64"));
  }
});

describe("Vault's answers", () => {
  const answering = (answer: (path: string) => Promise<VaultBody>): VaultClient => ({
    ...vault.root,
    write: answer,
  });
  const ciphertext = bytes("vault:v1:AAAA");
  const reasons = async (answer: (path: string) => Promise<VaultBody>) => {
    const asked = transitKeyProvider(answering(answer), "integration");
    return Promise.all(
      [asked.makeDataKey(CONTEXT), asked.openDataKey(CONTEXT, ciphertext)].map((call) =>
        call.then(
          () => "none",
          (error: { reason: string }) => error.reason,
        ),
      ),
    );
  };

  test.each([
    [400, "refused"],
    [403, "forbidden"],
    [404, "forbidden"],
    [412, "unavailable"],
    [429, "unavailable"],
    [500, "unavailable"],
    [503, "unavailable"],
  ])("%i is %s", async (status, reason) => {
    const answer = (path: string) => Promise.reject(new VaultError(`POST ${path}`, status, []));
    expect(await reasons(answer)).toEqual([reason, reason]);
  });

  test("to a login that it does not accept are no answer about the data key", async () => {
    const envelope = await seal(provider("intake", "integration"), CONTEXT, bytes("kept"));
    const { roleId } = vault.logins["worker-integration"];
    const login = appRoleLogin(vault.endpoint, { roleId, secretId: new Secret("destroyed") });
    const worker = transitKeyProvider(vaultClient(vault.endpoint, login.token), "integration");
    await expect(open(worker, CONTEXT, envelope)).rejects.toMatchObject({ reason: "forbidden" });
  });

  test("that do not come are unavailable", async () => {
    const answer = () => Promise.reject(new VaultUnreachableError("POST x", "ECONNREFUSED"));
    expect(await reasons(answer)).toEqual(["unavailable", "unavailable"]);
    const nobody = transitKeyProvider(
      vaultClient({ address: "http://127.0.0.1:1" }, () => new Secret("t"), 1_000),
      "integration",
    );
    await expect(nobody.makeDataKey(CONTEXT)).rejects.toMatchObject({ reason: "unavailable" });
  });

  const key = Buffer.alloc(32, 1).toString("base64");
  test.each<[string, VaultBody]>([
    ["nothing", {}],
    ["no key", { data: { ciphertext: "vault:v1:AAAA" } }],
    ["a key of 16 bytes", { data: { plaintext: "AAAAAAAAAAAAAAAAAAAAAA==", ciphertext: "vault:v1:AAAA" } }],
    ["a key that is no base64", { data: { plaintext: "*".repeat(44), ciphertext: "vault:v1:AAAA" } }],
    ["a key that is no text", { data: { plaintext: 1, ciphertext: "vault:v1:AAAA" } }],
  ])("%s: unavailable", async (_, body) => {
    expect(await reasons(() => Promise.resolve(body))).toEqual(["unavailable", "unavailable"]);
  });

  test.each([
    "",
    "vault:v1:",
    "vault:v0:AAAA",
    "AAAA",
    "vault:v1:AAAA\n",
    `vault:v1:${"A".repeat(600)}`,
  ])("an encrypted data key %j is none", async (text) => {
    const made = transitKeyProvider(
      answering(() => Promise.resolve({ data: { plaintext: key, ciphertext: text } })),
      "integration",
    );
    await expect(made.makeDataKey(CONTEXT)).rejects.toMatchObject({ reason: "unavailable" });
    const asked = transitKeyProvider(
      answering(() => expect.fail("Vault was asked")),
      "integration",
    );
    await expect(asked.openDataKey(CONTEXT, bytes(text))).rejects.toMatchObject({ reason: "refused" });
  });

  test("no error holds the key, the context or the ciphertext", async () => {
    const worker = provider("worker-integration", "integration");
    const { encrypted } = await provider("intake", "integration").makeDataKey(CONTEXT);
    const error = await worker
      .openDataKey({ ...CONTEXT, version: "2" }, encrypted)
      .catch((error: Error) => error);
    const text = inspect(error, { depth: 10, showHidden: true });
    expect(text).toContain("transit:integration: decrypt failed");
    expect(text).not.toContain(Buffer.from(encrypted).toString("latin1"));
    expect(text).not.toContain(CONTEXT.org);
  });
});

import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, inject, test } from "vitest";
import { bootstrap } from "../../../services/cli/platform/bootstrap.ts";
import { CREDENTIAL_LOGINS } from "../../../services/cli/platform/credential-logins.ts";
import { generateRoot } from "../../../services/cli/platform/generate-root.ts";
import { InternalVault } from "../../../services/cli/platform/internal-vault.ts";
import { freePort } from "../../../services/cli/platform/ports.ts";
import { StateFolder } from "../../../services/cli/platform/state-folder.ts";
import { killEverything } from "../../../services/cli/platform/survivors.ts";
import { readProcessRecord } from "../../../services/shared/process/recorded-process.ts";
import { Secret } from "../../../services/shared/secret.ts";
import { appRoleLogin } from "../../../services/shared/vault/approle.ts";
import { VaultError, vaultClient } from "../../../services/shared/vault/client.ts";
import { health } from "../../../services/shared/vault/health.ts";
import { isTokenAlive, revokeSelf } from "../../../services/shared/vault/tokens.ts";

let state: StateFolder;
let vault: InternalVault;
let events: string[];
const never = new AbortController().signal;

const make = async () =>
  new InternalVault({
    state,
    vaultBinary: inject("vaultBinary"),
    settled: { internalVaultPort: await freePort(), unsealTokenPeriodSeconds: 60 },
    onEvent: (text) => events.push(text),
  });
const text = async (...names: string[]) => (await readFile(state.at(...names), "utf8")).trim();
const service = async (name: string) => {
  const endpoint = { address: vault.address };
  const login = appRoleLogin(endpoint, {
    roleId: new Secret(await text(name, "role-id")),
    secretId: new Secret(await text(name, "secret-id")),
  });
  return vaultClient(endpoint, () => login.token());
};
const controlPlane = () => service("control-plane");

beforeEach(async () => {
  events = [];
  state = new StateFolder(await mkdtemp(join(tmpdir(), "strongroom-internal-")));
  await state.prepare();
  vault = await make();
});
afterEach(async () => {
  await vault.stop();
  await killEverything(state);
  await rm(state.path, { recursive: true });
});

test("a new one is bootstrapped, and its root token is nowhere", async () => {
  await vault.start(never);
  expect(await health(vaultClient({ address: vault.address }))).toBe("active");
  await (await controlPlane()).write("registry/data/names/acme", { data: { a: 1 } });
  expect(await readdir(state.at("internal-vault"))).not.toContain("root-token");
  for (const name of ["internal-vault/unseal-key", "control-plane/secret-id", "operator-key.pem"]) {
    expect((await stat(state.at(name))).mode & 0o777, name).toBe(0o600);
  }
  for (const name of ["directory-key.pem", "ownership-key.pem"])
    expect(await text("gateway", name)).toContain("BEGIN PUBLIC KEY");
  expect(await text("gateway", "ca.pem")).toContain("BEGIN CERTIFICATE");
});

test("started again it holds what it held, with the same login", async () => {
  await vault.start(never);
  await (await controlPlane()).write("registry/data/names/acme", { data: { a: 1 } });
  await vault.stop();
  vault = await make();
  await vault.start(never);
  expect(await (await controlPlane()).read("registry/data/names/acme")).toMatchObject({
    data: { data: { a: 1 } },
  });
});

test("the services that use credentials' keys have logins of their own", async () => {
  await vault.start(never);
  for (const name of CREDENTIAL_LOGINS) {
    expect((await stat(state.at(name, "secret-id"))).mode & 0o777, name).toBe(0o600);
    expect((await (await service(name)).read("auth/token/lookup-self")).data, name).toMatchObject({
      policies: [name],
      period: 3600,
    });
  }
});

describe("one that an earlier version bootstrapped, without keys for credentials", () => {
  const unsealed = () => vaultClient({ address: vault.address });
  beforeEach(async () => {
    await vault.start(never);
    const token = await generateRoot(unsealed(), new Secret(await text("internal-vault", "unseal-key")));
    const root = vaultClient({ address: vault.address }, () => token);
    await root.delete("sys/mounts/credential-keys");
    await root.write("transit/keys/receipts/config", { deletion_allowed: true });
    await root.delete("transit/keys/receipts");
    for (const name of CREDENTIAL_LOGINS) {
      await root.delete(`auth/approle/role/${name}`);
      await root.delete(`sys/policies/acl/${name}`);
      await rm(state.at(name), { recursive: true });
    }
    await (await controlPlane()).write("registry/data/names/acme", { data: { a: 1 } });
    await revokeSelf(root);
    await vault.stop();
  });

  test("has them after the next start, keeps what it held, and no root token is left", async () => {
    const settled = { internalVaultPort: await freePort(), unsealTokenPeriodSeconds: 60 };
    const again = () =>
      new InternalVault({
        state,
        vaultBinary: inject("vaultBinary"),
        settled,
        onEvent: (text) => events.push(text),
      });
    vault = again();
    await vault.start(never);
    expect(events).toContain("internal Vault: bootstrapping it again, for credentials");
    expect(await text("worker-broker", "directory-key.pem")).toBe(await text("gateway", "directory-key.pem"));
    const context = Buffer.from("{}").toString("base64");
    const intake = await service("intake");
    await intake.write("credential-keys/datakey/plaintext/integration", { context });
    await intake.write("credential-keys/datakey/plaintext/broker", { context });
    await intake.read("transit/keys/receipts");
    expect(await readdir(state.at("internal-vault"))).not.toContain("root-token");
    expect(await (await controlPlane()).read("registry/data/names/acme")).toMatchObject({
      data: { data: { a: 1 } },
    });

    const secretId = await text("intake", "secret-id");
    await vault.stop();
    vault = again();
    await vault.start(never);
    expect(await text("intake", "secret-id")).toBe(secretId);
  });

  test("does not start without them if it generates no root token, and says what to do", async () => {
    const refusing = vaultClient({ address: vault.address });
    const denied = {
      ...refusing,
      delete: () => Promise.reject(new VaultError("DELETE sys/generate-root", 403, [])),
    };
    await expect(generateRoot(denied, new Secret("key"))).rejects.toMatchObject({
      exit: "unavailable",
      hint: expect.stringContaining("docs/runbooks/bootstrap-again.md"),
    });
    const { address } = vault;
    await expect(bootstrap(state, address, 60)).rejects.toMatchObject({
      exit: "conflict",
      hint: expect.stringContaining("docs/runbooks/bootstrap-again.md"),
    });
  });
});

test("a killed one is back and unsealed within seconds", async () => {
  await vault.start(never);
  const record = await readProcessRecord(state.processFile("internal-vault"));
  process.kill(record?.pid ?? 0, "SIGKILL");
  await expect.poll(() => events.at(-1)).toBe("internal Vault: unsealed again");
  const client = vaultClient({ address: vault.address });
  await expect.poll(() => health(client)).toBe("active");
});

test("a bootstrap that was cut off is finished by the next start, and its root token ends", async () => {
  await vault.start(never);
  await vault.stop();
  // As a crash leaves it that comes between initializing and bootstrapping.
  await rm(state.at("internal-vault"), { recursive: true });
  await rm(state.at("control-plane"), { recursive: true });
  await state.prepare();
  vault = await make();
  const bootstrapping = state.at("control-plane", "secret-id");
  // A folder where the file belongs stops the bootstrap after its last write at the Vault.
  await mkdir(bootstrapping);
  await expect(vault.start(never)).rejects.toThrow();
  const rootToken = new Secret(await text("internal-vault", "root-token"));
  const root = vaultClient({ address: vault.address }, () => rootToken);
  expect(await isTokenAlive(root)).toBe(true);
  expect((await stat(state.at("internal-vault", "root-token"))).mode & 0o777).toBe(0o600);

  await vault.stop();
  await rm(bootstrapping, { recursive: true });
  vault = await make();
  await vault.start(never);
  const again = vaultClient({ address: vault.address }, () => rootToken);
  expect(await isTokenAlive(again)).toBe(false);
  expect(await readdir(state.at("internal-vault"))).not.toContain("root-token");
  await (await controlPlane()).write("registry/data/names/acme", { data: { a: 1 } });
});

test("a first start that lost its unseal key begins anew, and keeps the storage aside", async () => {
  await vault.start(never);
  await vault.stop();
  await rm(state.at("internal-vault", "unseal-key"));
  await rm(state.at("control-plane", "role-id"));
  vault = await make();
  await vault.start(never);
  expect(await health(vaultClient({ address: vault.address }))).toBe("active");
  expect((await readdir(state.at("internal-vault"))).filter((name) => name.startsWith("raft"))).toHaveLength(
    2,
  );
});

test("a platform in use whose unseal key is missing is not begun anew", async () => {
  await vault.start(never);
  await vault.stop();
  const key = await text("internal-vault", "unseal-key");
  await rm(state.at("internal-vault", "unseal-key"));
  vault = await make();
  await expect(vault.start(never)).rejects.toMatchObject({
    exit: "failure",
    message: /unseal-key is missing/,
  });
  await writeFile(state.at("internal-vault", "unseal-key"), key, { mode: 0o600 });
  await vault.start(never);
  expect(await health(vaultClient({ address: vault.address }))).toBe("active");
});

test("one that cannot start says why", async () => {
  await vault.start(never);
  await vault.stop();
  await writeFile(state.at("internal-vault", "raft", "vault.db"), "damaged");
  vault = await make();
  await expect(vault.start(never)).rejects.toMatchObject({
    exit: "unavailable",
    message: /did not answer: exited with 1: Error/,
  });
});

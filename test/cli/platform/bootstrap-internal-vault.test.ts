import { randomUUID } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { bootstrapInternalVault } from "../../../services/cli/platform/bootstrap-internal-vault.ts";
import { allowCredentials } from "../../../services/cli/platform/credential-keys.ts";
import { CREDENTIAL_LOGINS } from "../../../services/cli/platform/credential-logins.ts";
import { loginAsOperator } from "../../../services/cli/platform/operator-login.ts";
import { Secret } from "../../../services/shared/secret.ts";
import { type AppRoleCredentials, appRoleLogin } from "../../../services/shared/vault/approle.ts";
import { type VaultClient, vaultClient } from "../../../services/shared/vault/client.ts";
import { INTERNAL_POLICIES, policyText } from "../../../services/shared/vault/policies.ts";
import { publicKeys } from "../../../services/shared/vault/transit.ts";
import { PURPOSES } from "../../../services/shared/work/kinds.ts";
import {
  type InternalVault,
  newOperatorKey,
  startEmptyVault,
  startInternalVault,
} from "../../harness/vault.ts";

let vault: InternalVault;
beforeAll(async () => {
  vault = await startInternalVault(inject("vaultBinary"));
});
afterAll(() => vault?.stop());

const newKey = newOperatorKey();
const settings = ({ dir }: { dir: string }) => ({
  certificateMaxTtlSeconds: 3600,
  operatorKey: newKey.publicKey,
  auditFile: join(dir, "audit.log"),
});

test("has the policies of the files, and no others", async () => {
  const { data } = await vault.root.list("sys/policies/acl");
  expect((data as { keys: string[] }).keys.sort()).toEqual([
    "control-plane",
    "default",
    "intake",
    "operator",
    "root",
    "unseal",
    "worker-broker",
    "worker-integration",
    "worker-webhook",
  ]);
  for (const name of INTERNAL_POLICIES) {
    expect((await vault.root.read(`sys/policies/acl/${name}`)).data).toMatchObject({
      policy: policyText(name),
    });
  }
});

test("the policy of unseal tokens names the token mount's own accessor", async () => {
  const { data } = await vault.root.read("sys/auth");
  const { accessor } = (data as Record<string, { accessor: string }>)["token/"] ?? { accessor: "" };
  const { data: unseal } = await vault.root.read("sys/policies/acl/unseal");
  expect(accessor).toMatch(/^auth_token_/);
  expect(unseal).toMatchObject({ policy: policyText("unseal").replaceAll("TOKEN_MOUNT", accessor) });
});

test("records what is done, for its owner's eyes only, and no secret in clear", async () => {
  const file = join(vault.dir, "audit.log");
  await vault.root.write("root-tokens/oaudit", { token: "canary-in-clear" });
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  const log = await readFile(file, "utf8");
  expect(log.includes("root-tokens/oaudit")).toBe(true);
  expect(log.includes("canary-in-clear")).toBe(false);
});

test("the directory's key, the operators' and the authority are the ones it gives", async () => {
  expect(await publicKeys(vault.root, "directory")).toEqual([vault.directoryKey]);
  expect(await publicKeys(vault.root, "ownership")).toEqual([vault.ownershipKey]);
  expect(vault.ca).toContain("BEGIN CERTIFICATE");
  expect(vault.clusterId).toMatch(/^[0-9a-f-]{36}$/);
});

describe("the key that signs receipts", () => {
  const as = (login: AppRoleCredentials) =>
    vaultClient(vault.endpoint, appRoleLogin(vault.endpoint, login).token);
  const signature = {
    input: Buffer.from("where a chain stands").toString("base64"),
    ...{ hash_algorithm: "sha2-256", marshaling_algorithm: "jws", prehashed: false },
  };

  test("is the intake's alone to sign with, and cannot leave the Vault or be deleted", async () => {
    const { data } = await as(vault.logins.intake).read("transit/keys/receipts");
    expect(data).toMatchObject({
      type: "ecdsa-p256",
      ...{ exportable: false, allow_plaintext_backup: false, deletion_allowed: false },
    });
    await as(vault.logins.intake).write("transit/sign/receipts", signature);
    const others = [
      vault,
      ...CREDENTIAL_LOGINS.filter((name) => name !== "intake").map((name) => vault.logins[name]),
    ];
    for (const client of [...others.map(as), await vault.operator()]) {
      for (const path of [
        "transit/sign/receipts",
        "transit/keys/receipts/config",
        "transit/keys/receipts/rotate",
      ]) {
        await expect(client.write(path, path.includes("sign") ? signature : {}), path).rejects.toMatchObject({
          status: 403,
        });
      }
    }
  });

  test("signs nothing but receipts: the intake has no other", async () => {
    for (const path of [
      "sign/directory",
      "sign/ownership",
      "sign/platform-observe",
      "sign/receipts/sha2-256",
    ]) {
      await expect(as(vault.logins.intake).write(`transit/${path}`, signature), path).rejects.toMatchObject({
        status: 403,
      });
    }
  });
});

describe("credentials' keys", () => {
  test.each(PURPOSES)("%s is derived, and cannot leave the Vault or be deleted", async (name) => {
    expect((await vault.root.read(`credential-keys/keys/${name}`)).data).toMatchObject({
      type: "aes256-gcm96",
      derived: true,
      exportable: false,
      allow_plaintext_backup: false,
      deletion_allowed: false,
      imported_key: false,
    });
  });

  test("are made once: made again, what was sealed opens", async () => {
    const context = Buffer.from("{}").toString("base64");
    const { data } = await vault.root.write("credential-keys/datakey/plaintext/webhook", { context });
    const { plaintext, ciphertext } = data as Record<string, string>;
    await allowCredentials(vault.root);
    const opened = await vault.root.write("credential-keys/decrypt/webhook", { context, ciphertext });
    expect(opened.data).toEqual({ plaintext });
  });

  test("of another making stop the bootstrap", async () => {
    await vault.root.write("credential-keys/keys/webhook/config", { deletion_allowed: true });
    await expect(allowCredentials(vault.root)).rejects.toThrow(
      "credential-keys/keys/webhook of the internal Vault has another setting of deletion_allowed",
    );
    await vault.root.write("credential-keys/keys/webhook/config", { deletion_allowed: false });
  });
});

describe("logins that fail, however many", () => {
  const TRIES = Array.from({ length: 12 });

  test("lock no operator out", async () => {
    const { clusterId } = vault;
    for (const _ of TRIES) {
      const stranger = loginAsOperator(vault.endpoint, { key: newOperatorKey().key, clusterId });
      await expect(stranger).rejects.toMatchObject({ status: 400 });
    }
    await vault.operator();
  });

  test("do not lock the control plane out, though its role id is known", async () => {
    for (const n of TRIES.keys()) {
      const guess = { roleId: vault.roleId, secretId: new Secret(`guess-${n}`) };
      await expect(appRoleLogin(vault.endpoint, guess).token()).rejects.toMatchObject({ status: 400 });
    }
    await appRoleLogin(vault.endpoint, vault).token();
  });

  test("are all there is to try: nobody signs in by a password", async () => {
    const { data } = await vault.root.read("sys/auth");
    expect(Object.keys(data as object).sort()).toEqual(["approle/", "operators/", "token/"]);
  });
});

describe("the operator's JWT", () => {
  const at = (claims: { clusterId?: string; now?: Date }) =>
    loginAsOperator(
      vault.endpoint,
      { key: vault.operatorKey, clusterId: vault.clusterId, ...claims },
      claims.now,
    );

  test("is good at this internal Vault, for half a minute", async () => {
    await at({});
    await expect(at({ clusterId: randomUUID() })).rejects.toMatchObject({ status: 400 });
    await expect(at({ now: new Date(Date.now() - 32_000) })).rejects.toMatchObject({ status: 400 });
    await expect(at({ now: new Date(Date.now() + 10_000) })).rejects.toMatchObject({ status: 400 });
  });

  test("is changed for five minutes of one policy, and nothing that could be renewed", async () => {
    const operator = await at({});
    await expect(operator.read("sys/mounts")).rejects.toMatchObject({ status: 403 });
    await expect(operator.write("auth/token/renew-self")).rejects.toMatchObject({ status: 403 });
    const { data } = await vault.root.read("auth/operators/role/operator");
    expect(data).toMatchObject({ token_type: "batch", token_ttl: 300, token_policies: ["operator"] });
  });
});

test("bootstrapped again, it keeps its keys, ends older logins, and takes the new key alone", async () => {
  const again = await bootstrapInternalVault(vault.root, settings(vault));
  expect(again).toMatchObject({
    directoryKey: vault.directoryKey,
    ownershipKey: vault.ownershipKey,
    ca: vault.ca,
    clusterId: vault.clusterId,
  });
  expect(again.roleId.reveal()).toBe(vault.roleId.reveal());
  for (const [older, newer] of [
    [vault, again],
    ...CREDENTIAL_LOGINS.map((name) => [vault.logins[name], again.logins[name]] as const),
  ] as const) {
    await expect(appRoleLogin(vault.endpoint, older).token()).rejects.toMatchObject({ status: 400 });
    await appRoleLogin(vault.endpoint, newer).token();
  }

  const { clusterId } = again;
  await loginAsOperator(vault.endpoint, { key: newKey.key, clusterId });
  await expect(vault.operator()).rejects.toMatchObject({ status: 400 });
});

test("a bootstrap cut off at any write is finished by the next", async () => {
  const fresh = await startEmptyVault(inject("vaultBinary"));
  try {
    let writes = 0;
    let cutAt = 1;
    const cut: VaultClient = {
      ...fresh.root,
      write(path, data) {
        if (++writes >= cutAt) throw new Error("cut off");
        return fresh.root.write(path, data);
      },
    };
    for (; ; cutAt++) {
      writes = 0;
      const finished = await bootstrapInternalVault(cut, settings(fresh)).catch((error: Error) => error);
      if (!(finished instanceof Error)) break;
      expect(finished.message).toBe("cut off");
    }
    expect(cutAt).toBeGreaterThan(10);
    const { directoryKey, ownershipKey, ...login } = await bootstrapInternalVault(
      fresh.root,
      settings(fresh),
    );
    expect(await publicKeys(fresh.root, "directory")).toEqual([directoryKey]);
    expect(await publicKeys(fresh.root, "ownership")).toEqual([ownershipKey]);
    await appRoleLogin(fresh.endpoint, login).token();
    const { data } = await fresh.root.list("auth/approle/role/control-plane/secret-id");
    expect((data as { keys: string[] }).keys).toHaveLength(1);
  } finally {
    await fresh.stop();
  }
});

import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Agent } from "undici";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { orgServerName } from "../../../services/shared/org.ts";
import { Secret } from "../../../services/shared/secret.ts";
import { type VaultClient, vaultClient } from "../../../services/shared/vault/client.ts";
import { kv2 } from "../../../services/shared/vault/kv.ts";
import { compareOrgVault, configureOrgVault } from "../../../services/shared/vault/org-vault.ts";
import { loginWithJwt, OBSERVE, signPlatformJwt } from "../../../services/shared/vault/platform-jwt.ts";
import { startIssuer, type TestIssuer } from "../../harness/tokens.ts";
import { type InternalVault, type OrgVault, startInternalVault, startOrgVault } from "../../harness/vault.ts";

let internal: InternalVault;
let issuer: TestIssuer;
let acme: OrgVault;
let configureCuts: number;
beforeAll(async () => {
  [internal, issuer] = await Promise.all([startInternalVault(inject("vaultBinary")), startIssuer()]);
  acme = await startOrgVault(internal, { claim: "org_acme", issuer, configure: false });
  configureCuts = await configureWithCuts(acme);
});
afterAll(async () => {
  await acme?.stop();
  await internal?.stop();
  await issuer?.close();
});

/** Configures in attempts that are cut off, each one write further on; gives the number of cuts. */
async function configureWithCuts({ root, settings }: OrgVault): Promise<number> {
  for (let cutAt = 1; ; cutAt++) {
    let writes = 0;
    const cut: VaultClient = {
      ...root,
      write(path, data) {
        if (++writes >= cutAt) throw new Error("cut off");
        return root.write(path, data);
      },
    };
    const error = await configureOrgVault(cut, settings).catch((error: Error) => error);
    if (!error) return cutAt - 1;
    expect(error.message).toBe("cut off");
  }
}

const compare = () => compareOrgVault(acme.root, acme.settings, { sudo: true });

async function observe(): Promise<VaultClient> {
  const claims = { org: acme.org, subject: "anyone", now: new Date() };
  const jwt = await signPlatformJwt(internal.controlPlane, claims);
  const { token } = await loginWithJwt(acme.endpoint, OBSERVE, OBSERVE, jwt);
  return vaultClient(acme.endpoint, () => token);
}

test("a configuration cut off at any write is finished by the next, and comparing finds nothing", async () => {
  expect(configureCuts).toBeGreaterThan(15);
  expect(await compare()).toEqual([]);
  expect(await compareOrgVault(await observe(), acme.settings, { sudo: false })).toEqual([]);
});

test("configuring what is configured changes nothing", async () => {
  await configureOrgVault(acme.root, acme.settings);
  expect(await compare()).toEqual([]);
});

describe("drift", () => {
  const cases: [drift: string, make: (root: VaultClient) => Promise<unknown>, words: string | RegExp][] = [
    [
      "a policy with a line more",
      (root) => root.write("sys/policies/acl/reader", { policy: 'path "sys/*" { capabilities = ["read"] }' }),
      "sys/policies/acl/reader: policy is not as it should be",
    ],
    [
      "a policy that is gone",
      (root) => root.delete("sys/policies/acl/admin"),
      "sys/policies/acl/admin is missing",
    ],
    [
      "a policy too many",
      (root) => root.write("sys/policies/acl/backdoor", { policy: 'path "x" {}' }),
      "sys/policies/acl/backdoor should not be there",
    ],
    [
      "a key too many",
      async (root) => {
        const { data } = await root.read("auth/jwt/config");
        const keys = [...acme.settings.issuerKeys, ...acme.settings.trust.observeKeys];
        await root.write("auth/jwt/config", { ...(data as object), jwt_validation_pubkeys: keys });
      },
      "auth/jwt/config: a key is taken that its issuer no longer shows",
    ],
    [
      "a role that gives more",
      async (root) => {
        const { data } = await root.read("auth/jwt/role/reader");
        await root.write("auth/jwt/role/reader", { ...(data as object), token_policies: ["admin"] });
      },
      "auth/jwt/role/reader: token_policies is not as it should be",
    ],
    [
      "a role with a setting more",
      async (root) => {
        const { data } = await root.read("auth/jwt/role/reader");
        await root.write("auth/jwt/role/reader", { ...(data as object), bound_subject: "me" });
      },
      "auth/jwt/role/reader: bound_subject is not as it should be",
    ],
    [
      "a role too many",
      (root) =>
        root.write("auth/jwt/role/backdoor", { role_type: "jwt", user_claim: "sub", bound_audiences: "x" }),
      "auth/jwt/role/backdoor should not be there",
    ],
    [
      "a role that is gone",
      (root) => root.delete("auth/platform-observe/role/platform-observe"),
      "auth/platform-observe/role/platform-observe is missing",
    ],
    [
      "a mount that is gone",
      (root) => root.delete("sys/auth/platform-backup"),
      "auth method platform-backup is missing",
    ],
    [
      "another authority behind a mount",
      async (root) => {
        const path = "auth/platform-maintain/certs/platform-maintain";
        const { data } = await root.read(path);
        const { authorities } = acme.settings.trust;
        await root.write(path, { ...(data as object), certificate: authorities["platform-backup"] });
      },
      "auth/platform-maintain/certs/platform-maintain: certificate is not as it should be",
    ],
    [
      "a mount that takes certificates of every name",
      async (root) => {
        const path = "auth/platform-backup/certs/platform-backup";
        const { data } = await root.read(path);
        await root.write(path, { ...(data as object), allowed_common_names: ["*"] });
      },
      "auth/platform-backup/certs/platform-backup: allowed_common_names is not as it should be",
    ],
    [
      "an authority too many",
      (root) =>
        root.write("auth/platform-maintain/certs/backdoor", {
          certificate: acme.settings.trust.authorities["platform-backup"],
          token_policies: ["admin"],
        }),
      "auth/platform-maintain/certs/backdoor should not be there",
    ],
    [
      "a mount of certificates that is set otherwise",
      (root) => root.write("auth/platform-maintain/config", { disable_binding: true }),
      "auth/platform-maintain/config: disable_binding is not as it should be",
    ],
    [
      "a token role",
      (root) => root.write("auth/token/roles/backdoor", {}),
      "auth/token/roles/backdoor should not be there",
    ],
    [
      "a group",
      (root) => root.write("identity/group", { name: "backdoor", policies: ["admin"] }),
      /^identity\/group\/id\/[0-9a-f-]{36} should not be there$/,
    ],
    [
      "an audit device that is gone",
      (root) => root.delete("sys/audit/audit-2"),
      "audit device audit-2 is missing",
    ],
    [
      "a header recorded in clear",
      (root) => root.write("sys/config/auditing/request-headers/x-vault-token", { hmac: false }),
      "audited header x-vault-token should not be there",
    ],
  ];

  test.each(cases)("%s is found, and configuring again repairs it", async (_, make, words) => {
    await make(acme.root);
    const found = await compare();
    expect(found).toEqual([typeof words === "string" ? words : expect.stringMatching(words)]);
    await configureOrgVault(acme.root, acme.settings);
    expect(await compare()).toEqual([]);
  });

  test("a strange mount or device, and a mount or device that logs secrets in clear, are found and left alone", async () => {
    const { root } = acme;
    await root.write("sys/auth/backdoor", { type: "userpass" });
    await root.write("sys/mounts/backdoor", { type: "kv" });
    await root.write("sys/audit/backdoor", {
      type: "file",
      options: { file_path: join(acme.dir, "backdoor.log") },
    });
    await root.write("sys/mounts/secret/tune", { audit_non_hmac_response_keys: ["data"] });
    await root.delete("sys/audit/audit-1");
    await root.write("sys/audit/audit-1", {
      type: "file",
      options: { file_path: join(acme.dir, "audit-1.log"), mode: "0600", log_raw: "true" },
    });
    await configureOrgVault(root, acme.settings);
    expect(await compare()).toEqual([
      "secrets engine backdoor should not be there",
      "auth method backdoor should not be there",
      "secret: audit_non_hmac_response_keys is not as it should be",
      "audit device backdoor should not be there",
      "audit device audit-1: log_raw is not as it should be",
    ]);
    await root.delete("sys/auth/backdoor");
    await root.delete("sys/mounts/backdoor");
    await root.delete("sys/audit/backdoor");
    await root.delete("sys/audit/audit-1");
    await configureOrgVault(root, acme.settings);
    await root.write("sys/mounts/secret/tune", { audit_non_hmac_response_keys: [] });
    expect(await compare()).toEqual([]);
  });

  test("platform-maintain repairs a mount and a device that are gone as root does", async () => {
    await acme.root.delete("sys/auth/platform-backup");
    await acme.root.delete("sys/audit/audit-2");
    const maintain = await internal.maintain(acme);
    expect(await compareOrgVault(maintain, acme.settings, { sudo: true })).toHaveLength(2);
    await configureOrgVault(maintain, acme.settings);
    expect(await compareOrgVault(maintain, acme.settings, { sudo: true })).toEqual([]);
  });

  test("platform-observe sees all of it but audit devices and headers", async () => {
    const { root } = acme;
    await root.delete("sys/policies/acl/admin");
    await root.delete("sys/audit/audit-2");
    expect(await compareOrgVault(await observe(), acme.settings, { sudo: false })).toEqual([
      "sys/policies/acl/admin is missing",
    ]);
    await configureOrgVault(root, acme.settings);
  });
});

describe("audit", () => {
  const log = (name: string) => readFile(join(acme.dir, name), "utf8");

  test("both logs name the person and the request, and show neither secret nor token", async () => {
    await kv2(acme.root, "secret").write("app/db", { password: "canary-in-clear" });
    const { token } = await loginWithJwt(acme.endpoint, "jwt", "reader", new Secret(issuer.token()));
    const { address, ca, serverName } = acme.endpoint;
    const agent = new Agent({ connect: { ca, servername: serverName } });
    const { statusCode, body } = await agent.request({
      origin: address,
      path: "/v1/secret/data/app/db",
      method: "GET",
      headers: { "x-vault-token": token.reveal(), "x-request-id": "req-0001" },
    });
    expect(statusCode).toBe(200);
    expect(await body.text()).toContain("canary-in-clear");
    await agent.close();
    for (const name of ["audit-1.log", "audit-2.log"]) {
      const text = await log(name);
      expect(text.includes("req-0001"), name).toBe(true);
      expect(text.includes('"display_name":"jwt-u1"'), name).toBe(true);
      expect(text.includes("canary-in-clear"), name).toBe(false);
      expect(text.includes(token.reveal()), name).toBe(false);
    }
  });

  test("an organization is served while one of its two logs cannot be written", async () => {
    const broken = join(acme.dir, "audit-1.log");
    await rm(broken);
    await mkdir(broken);
    acme.reload();
    const secrets = kv2(acme.root, "secret");
    const recorded = async (name: string) => (await log(name)).includes("secret/data/while-broken");
    for (let n = 0; n < 20; n++) {
      await secrets.write("while-broken", { n });
      await sleep(10);
    }
    expect(await recorded("audit-2.log")).toBe(true);
    await rm(broken, { recursive: true });
    acme.reload();
    await expect
      .poll(async () => {
        await secrets.read("while-broken");
        return recorded("audit-1.log");
      })
      .toBe(true);
  });
});

test("killed and started again, it unseals itself and has its secrets and its configuration", async () => {
  await kv2(acme.root, "secret").write("kept", { value: "still here" });
  await acme.restart({ signal: "SIGKILL" });
  expect(await kv2(acme.root, "secret").read("kept")).toMatchObject({ data: { value: "still here" } });
  expect(await compare()).toEqual([]);
});

test("it serves its own name alone: a client that asks for another gets no further than the certificate", async () => {
  const other = vaultClient(
    { ...acme.endpoint, serverName: orgServerName("obbbbbbbbbbbbbbb") },
    () => acme.rootToken,
  );
  await expect(other.read("sys/mounts")).rejects.toMatchObject({ code: "ERR_TLS_CERT_ALTNAME_INVALID" });
  const { address, serverName } = acme.endpoint;
  const noAuthority = vaultClient({ address, serverName: serverName ?? "" }, () => acme.rootToken);
  await expect(noAuthority.read("sys/mounts")).rejects.toMatchObject({
    code: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  });
});

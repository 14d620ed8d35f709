import { X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect } from "vitest";
import {
  loginWithCertificate,
  makeClientCertificate,
} from "../../services/cli/platform/client-certificate.ts";
import { isAtLeast } from "../../services/cli/vault-binary/recipe.ts";
import { GROUPS_CLAIM } from "../../services/shared/local-provider.ts";
import { LEVELS, newOrgId } from "../../services/shared/org.ts";
import { Secret } from "../../services/shared/secret.ts";
import {
  type ClientCertificate,
  type VaultClient,
  VaultError,
  vaultClient,
} from "../../services/shared/vault/client.ts";
import {
  CLIENT_MOUNTS,
  type ClientMount,
  clientAuthority,
} from "../../services/shared/vault/client-authority.ts";
import { sealStatus } from "../../services/shared/vault/init.ts";
import { kv2 } from "../../services/shared/vault/kv.ts";
import { compareOrgVault, configureOrgVault } from "../../services/shared/vault/org-vault.ts";
import { issueOrgCertificate, newServerKey } from "../../services/shared/vault/pki.ts";
import {
  loginWithJwt,
  OBSERVE,
  OBSERVE_ISSUER,
  signPlatformJwt,
} from "../../services/shared/vault/platform-jwt.ts";
import { orgServerConfig } from "../../services/shared/vault/server-config.ts";
import { isTokenAlive, mintUnsealToken, revokeSelf } from "../../services/shared/vault/tokens.ts";
import { createUnsealKey, signCompactJws, unsealKeyName } from "../../services/shared/vault/transit.ts";
import { test } from "../harness/fixtures.ts";
import { respell, type TestIssuer } from "../harness/tokens.ts";
import {
  freeListen,
  type InternalVault,
  localPlace,
  type OrgVault,
  startVaultServer,
} from "../harness/vault.ts";

interface AuditEntry {
  type: string;
  auth?: { display_name?: string; metadata?: { serial_number?: string } };
  request: { path: string };
  response?: { data?: { serial_number?: string } };
}

/** What stands in an audit log so far. */
const entries = async (file: string): Promise<AuditEntry[]> =>
  (await readFile(file, "utf8"))
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));

let internal: InternalVault;
let issuer: TestIssuer;
let acme: OrgVault;
let globex: OrgVault;

/** Two organizations as onboarding leaves them: a secret each, and their root tokens revoked. */
test.beforeAll(async ({ org, otherOrg }) => {
  ({ internal, issuer, acme } = org);
  globex = otherOrg;
  for (const { root, org } of [acme, globex]) {
    await kv2(root, "secret").write("app/db", { password: `canary of ${org}` });
    await revokeSelf(root);
  }
});

const tenantLogin = (vault: OrgVault, role: string, jwt: string) =>
  loginWithJwt(vault.endpoint, "jwt", role, new Secret(jwt));

const tenantToken = (claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}) =>
  issuer.token({ [GROUPS_CLAIM]: ["writer", "admin"], ...claims }, header);

/** The control plane at an organization's Vault. */
async function observe({ org, endpoint }: OrgVault): Promise<VaultClient> {
  const jwt = await signPlatformJwt(internal.controlPlane, {
    org,
    subject: "control-plane",
    now: new Date(),
  });
  const { token } = await loginWithJwt(endpoint, OBSERVE, OBSERVE, jwt);
  return vaultClient(endpoint, () => token);
}

/** A certificate of a mount's authority for an organization, whoever may have it signed. */
const certificateFor = (mount: ClientMount, org: string) => makeClientCertificate(internal.root, mount, org);

const maintain = (vault: OrgVault) => internal.maintain(vault);

/** Whether Vault takes a login. Any answer but a token and a refusal is an error. */
async function accepts(login: Promise<unknown>): Promise<boolean> {
  try {
    await login;
    return true;
  } catch (error) {
    if (error instanceof VaultError && (error.status === 400 || error.status === 403)) return false;
    throw error;
  }
}

type Attempt = [method: "read" | "list" | "write" | "delete", path: string, body?: object];

async function answer(client: VaultClient, [method, path, body]: Attempt): Promise<number> {
  try {
    await (method === "write" ? client.write(path, body) : client[method](path));
    return 200;
  } catch (error) {
    if (error instanceof VaultError) return error.status;
    throw error;
  }
}

/** Each attempt with its words, for test names. */
const named = (attempts: Attempt[]): [words: string, attempt: Attempt][] =>
  attempts.map((attempt) => [words(attempt), attempt]);

/** Soundly signed by its key, so that what refuses it is the policy. */
const csr = newServerKey().serverKey.request;

const words = ([method, path, body]: Attempt): string =>
  [
    method,
    path,
    ...(body ? [JSON.stringify(body, (key, value) => (key === "csr" ? "a request" : value))] : []),
  ].join(" ");

describe("two keys × two JWT mounts × every role", () => {
  const mounts = ["jwt", OBSERVE] as const;
  type Mount = (typeof mounts)[number];
  const roles = (mount: Mount): readonly string[] => (mount === "jwt" ? LEVELS : [mount]);

  /** Claims that a mount of acme's Vault takes, whoever signs them. */
  function claimsFor(mount: Mount): Record<string, unknown> {
    const iat = Math.floor(Date.now() / 1000);
    return mount === "jwt"
      ? issuer.claims({ [GROUPS_CLAIM]: ["writer", "admin"] })
      : { iss: OBSERVE_ISSUER, sub: "control-plane", aud: acme.org, iat, exp: iat + 60 };
  }

  const sign = (key: Mount, claims: Record<string, unknown>): Promise<string> | string =>
    key === "jwt" ? issuer.token(claims) : signCompactJws(internal.root, key, { typ: "JWT" }, claims);

  async function logins(claimsOf: (key: Mount, mount: Mount) => Record<string, unknown>) {
    const accepted: string[] = [];
    for (const key of mounts) {
      for (const mount of mounts) {
        const jwt = new Secret(await sign(key, claimsOf(key, mount)));
        for (const role of roles(mount)) {
          if (await accepts(loginWithJwt(acme.endpoint, mount, role, jwt))) {
            accepted.push(`${key} at ${mount} as ${role}`);
          }
        }
      }
    }
    return accepted;
  }

  const diagonal = [
    "jwt at jwt as reader",
    "jwt at jwt as writer",
    "jwt at jwt as admin",
    "platform-observe at platform-observe as platform-observe",
  ];

  test("only the diagonal logs in, with each party's own claims", async () => {
    expect(await logins((key) => claimsFor(key))).toEqual(diagonal);
  });

  test("only the diagonal logs in, with exactly the claims that the mount wants: the key decides", async () => {
    expect(await logins((_, mount) => claimsFor(mount))).toEqual(diagonal);
  });

  test("a role of another mount is no role here", async () => {
    for (const mount of mounts) {
      const jwt = new Secret(await sign(mount, claimsFor(mount)));
      for (const role of mounts.filter((other) => other !== mount).flatMap(roles)) {
        expect(await accepts(loginWithJwt(acme.endpoint, mount, role, jwt)), `${role} at ${mount}`).toBe(
          false,
        );
      }
    }
  });
});

describe("client certificates at acme's Vault", () => {
  const accepted = async (mount: ClientMount, client: ClientCertificate): Promise<boolean> =>
    accepts(loginWithCertificate(acme.endpoint, mount, client));

  test("each authority's opens its own mount, for acme's id alone", async () => {
    for (const mount of CLIENT_MOUNTS) {
      for (const authority of CLIENT_MOUNTS) {
        const own = await accepted(mount, await certificateFor(authority, acme.org));
        expect(own, `${authority} at ${mount}`).toBe(mount === authority);
      }
      for (const name of [globex.org, "operator", `x${acme.org}`, acme.org.toUpperCase()]) {
        expect(await accepted(mount, await certificateFor(mount, name)), `${name} at ${mount}`).toBe(false);
      }
    }
  });

  test("none, or the organization's own, opens nothing", async () => {
    const server = await issueOrgCertificate(internal.controlPlane, acme.org, 60);
    for (const mount of CLIENT_MOUNTS) {
      expect(await accepts(vaultClient(acme.endpoint).write(`auth/${mount}/login`, { name: mount }))).toBe(
        false,
      );
      expect(await accepted(mount, server)).toBe(false);
    }
  });

  test("no authority of theirs signs for whoever asks by ACME, whose paths are open", async () => {
    for (const mount of CLIENT_MOUNTS) {
      const directory = vaultClient(internal.endpoint).read(`${clientAuthority(mount)}/acme/directory`);
      await expect(directory).rejects.toMatchObject({ status: 404 });
      const { data } = await internal.root.read(`${clientAuthority(mount)}/config/acme`);
      expect(data).toMatchObject({ enabled: false });
    }
  });

  test("one without its key gets no handshake", async () => {
    const { certificate } = await certificateFor("platform-maintain", acme.org);
    const { key } = await certificateFor("platform-maintain", acme.org);
    await expect(accepted("platform-maintain", { certificate, key })).rejects.toThrow(/no answer from Vault/);
  });

  test("one that has ended opens nothing", async () => {
    const role = `${clientAuthority("platform-maintain")}/roles/brief`;
    const { data } = await internal.root.read(`${clientAuthority("platform-maintain")}/roles/org-client`);
    await internal.root.write(role, { ...(data as object), ttl: 1, max_ttl: 1, not_before_duration: 1 });
    const brief: VaultClient = {
      ...internal.root,
      write: (path, body) => internal.root.write(path.replace("org-client", "brief"), body),
    };
    const client = await makeClientCertificate(brief, "platform-maintain", acme.org);
    await internal.root.delete(role);
    const end = new X509Certificate(client.certificate).validToDate.getTime();
    await sleep(Math.max(0, end - Date.now()) + 1_100);
    await expect(accepted("platform-maintain", client)).rejects.toThrow(/certificate has expired/);
  });

  test("is signed as a client's alone, whatever is asked for, and for two minutes", async () => {
    const { certificate } = await certificateFor("platform-maintain", acme.org);
    const { keyUsage, subject, ca, validFromDate, validToDate } = new X509Certificate(certificate);
    expect({ keyUsage, subject, ca }).toEqual({
      keyUsage: ["1.3.6.1.5.5.7.3.2"],
      subject: `CN=${acme.org}`,
      ca: false,
    });
    expect(validToDate.getTime() - validFromDate.getTime()).toBeLessThanOrEqual(150_000);
  });

  test("both audit logs say who it was for, and by the certificate's number that it was the same", async () => {
    const client = await makeClientCertificate(await internal.operator(), "platform-maintain", acme.org);
    const { serialNumber } = new X509Certificate(client.certificate);
    const maintaining = await loginWithCertificate(acme.endpoint, "platform-maintain", client);
    await maintaining.read("sys/mounts");
    const signed = (await entries(join(internal.dir, "audit.log"))).find(
      ({ type, response }) =>
        type === "response" &&
        response?.data?.serial_number?.replaceAll(":", "").toUpperCase() === serialNumber,
    );
    expect(signed).toMatchObject({
      request: { path: "pki-platform-maintain/sign/org-client", data: { common_name: acme.org } },
      auth: { display_name: expect.stringContaining("operator"), policies: ["operator"] },
    });
    const number = BigInt(`0x${serialNumber}`).toString();
    const used = (await entries(join(acme.dir, "audit-1.log"))).filter(
      ({ type, auth }) => type === "response" && auth?.metadata?.serial_number === number,
    );
    expect(used.map(({ request }) => request.path)).toEqual(["auth/platform-maintain/login", "sys/mounts"]);
    expect(used[1]?.auth).toMatchObject({
      display_name: "platform-maintain-platform-maintain",
      metadata: { common_name: acme.org, cert_name: "platform-maintain" },
    });
  });
});

describe("acme's Vault, asked directly", () => {
  test("refuses globex's members, and globex's Vault refuses acme's, at every level", async () => {
    for (const level of LEVELS) {
      expect(await accepts(tenantLogin(acme, level, tenantToken({ org_id: "org_globex" })))).toBe(false);
      expect(await accepts(tenantLogin(globex, level, tenantToken({ org_id: "org_acme" })))).toBe(false);
      expect(await accepts(tenantLogin(globex, level, tenantToken({ org_id: "org_globex" })))).toBe(true);
    }
  });

  test("refuses a platform login made for globex", async () => {
    const claims = { org: globex.org, subject: "anyone", now: new Date() };
    const jwt = await signPlatformJwt(internal.controlPlane, claims);
    expect(await accepts(loginWithJwt(acme.endpoint, OBSERVE, OBSERVE, jwt))).toBe(false);
    expect(await accepts(loginWithJwt(globex.endpoint, OBSERVE, OBSERVE, jwt))).toBe(true);
    for (const mount of CLIENT_MOUNTS) {
      const client = await certificateFor(mount, globex.org);
      expect(await accepts(loginWithCertificate(acme.endpoint, mount, client)), mount).toBe(false);
      expect(await accepts(loginWithCertificate(globex.endpoint, mount, client)), mount).toBe(true);
    }
  });

  test("gives each level to its group alone", async () => {
    const levelsOf = async (groups: unknown) => {
      const granted: string[] = [];
      for (const level of LEVELS) {
        if (await accepts(tenantLogin(acme, level, tenantToken({ [GROUPS_CLAIM]: groups }))))
          granted.push(level);
      }
      return granted;
    };
    expect(await levelsOf(undefined)).toEqual(["reader"]);
    expect(await levelsOf([])).toEqual(["reader"]);
    expect(await levelsOf(["writer"])).toEqual(["reader", "writer"]);
    expect(await levelsOf(["admin"])).toEqual(["reader", "admin"]);
    expect(await levelsOf(["Writer", "writer ", "administrator"])).toEqual(["reader"]);
  });

  const now = () => Math.floor(Date.now() / 1000);
  const jwts: [what: string, make: () => string, accepted: boolean][] = [
    ["all that is asked for", () => tenantToken(), true],
    ["an org claim that is a list holding acme alone", () => tenantToken({ org_id: ["org_acme"] }), false],
    [
      "an org claim that lists acme and globex",
      () => tenantToken({ org_id: ["org_globex", "org_acme"] }),
      false,
    ],
    ["an org claim that is an object", () => tenantToken({ org_id: { org_acme: true } }), false],
    ["an org claim that is a number", () => tenantToken({ org_id: 1 }), false],
    ["no org claim", () => tenantToken({ org_id: undefined }), false],
    ["an org claim in another case", () => tenantToken({ org_id: "ORG_ACME" }), false],
    ["no exp", () => tenantToken({ exp: undefined }), false],
    ["an exp two seconds ago", () => tenantToken({ exp: now() - 2 }), false],
    ["an nbf ten seconds from now", () => tenantToken({ nbf: now() + 10 }), false],
    ["an iat ten seconds from now", () => tenantToken({ iat: now() + 10 }), false],
    ["no iat", () => tenantToken({ iat: undefined }), false],
    ["no audience", () => tenantToken({ aud: undefined }), false],
    ["an operator's audience", () => tenantToken({ aud: "https://strongroom.test/control-plane" }), false],
    ["no issuer", () => tenantToken({ iss: undefined }), false],
    [
      "an issuer without its final slash",
      () => tenantToken({ iss: issuer.issuer.issuer.slice(0, -1) }),
      false,
    ],
    ["no subject", () => tenantToken({ sub: undefined }), false],
    ["no signature", () => `${tenantToken({}, { alg: "none" }).split(".").slice(0, 2).join(".")}.`, false],
    // Vault is laxer than the gateway in these: the gateway refuses them before Vault is asked.
    ["no kid (laxer than the gateway)", () => tenantToken({}, { kid: undefined }), true],
    ["an unknown kid (laxer than the gateway)", () => tenantToken({}, { kid: "unknown" }), true],
    ["a year to live (laxer than the gateway)", () => tenantToken({ exp: now() + 365 * 24 * 3600 }), true],
    [
      "a second audience (laxer than the gateway)",
      () => tenantToken({ aud: [issuer.issuer.audience, "elsewhere"] }),
      true,
    ],
    ["a signature spelled otherwise (laxer than the gateway)", () => respell(tenantToken()) ?? "", true],
  ];
  test.each(
    jwts.map(([what, make, accepted]) => [accepted ? "accepts" : "refuses", what, make, accepted] as const),
  )("%s a JWT with %s", async (_, __, make, accepted) => {
    expect(await accepts(tenantLogin(acme, "reader", make()))).toBe(accepted);
  });

  test("a token outlives its JWT, since Vault does not look at exp again, but never 60 seconds", async () => {
    const { leaseSeconds } = await tenantLogin(acme, "reader", tenantToken({ exp: now() + 3 }));
    expect(leaseSeconds).toBe(60);
  });

  test("an admin's token makes, renews and looks up no token, and touches nothing beside the secrets", async () => {
    const { token } = await tenantLogin(acme, "admin", tenantToken());
    const client = vaultClient(acme.endpoint, () => token);
    const attempts: Attempt[] = [
      ["write", "auth/token/create", {}],
      ["write", "auth/token/create-orphan", {}],
      ["write", "auth/token/renew-self", {}],
      ["read", "auth/token/lookup-self"],
      ["write", "sys/wrapping/wrap", { a: 1 }],
      ["read", "sys/policies/acl/admin"],
      ["write", "sys/mounts/mine", { type: "kv" }],
      ["read", "identity/entity/id?list=true"],
    ];
    for (const attempt of attempts) expect(await answer(client, attempt), words(attempt)).toBe(403);
  });

  test("anyone who reaches it can start a rekey or a new root token, and end neither without recovery keys", async () => {
    const open = vaultClient(globex.endpoint);
    const begin = { secret_shares: 1, secret_threshold: 1 };
    if (isAtLeast((await sealStatus(open)).version, "2.0.0")) {
      // From 2.0 on both take a token.
      expect(await answer(open, ["write", "sys/rekey-recovery-key/init", begin])).toBe(403);
      expect(await answer(open, ["write", "sys/generate-root/attempt"])).toBe(403);
      return;
    }
    const started = await open.write("sys/rekey-recovery-key/init", begin);
    expect(started).toMatchObject({ started: true, required: 2, progress: 0 });
    const share = { key: Buffer.alloc(32, 7).toString("base64"), nonce: started.nonce };
    await open.write("sys/rekey-recovery-key/update", share);
    const last = { ...share, key: Buffer.alloc(32, 8).toString("base64") };
    expect(await answer(open, ["write", "sys/rekey-recovery-key/update", last])).toBe(400);
    expect(await open.read("sys/rekey-recovery-key/init")).toMatchObject({ progress: 0 });
    expect(await open.write("sys/generate-root/attempt")).toMatchObject({ required: 2, complete: false });
  });
});

describe("platform-observe", () => {
  const attempts: Attempt[] = [
    ["read", "secret/data/app/db"],
    ["read", "secret/metadata/app/db"],
    ["list", "secret/metadata"],
    ["read", "secret/subkeys/app/db"],
    ["read", "secret/config"],
    ["write", "secret/data/app/db", { data: {} }],
    ["delete", "secret/data/app/db"],
    ["delete", "secret/metadata/app/db"],
    ["read", "sys/storage/raft/snapshot"],
    ["write", "sys/storage/raft/snapshot", {}],
    ["write", "sys/policies/acl/reader", { policy: 'path "x" {}' }],
    ["delete", "sys/policies/acl/reader"],
    ["write", "sys/auth/mine", { type: "userpass" }],
    ["delete", "sys/auth/jwt"],
    ["write", "sys/mounts/mine", { type: "kv" }],
    ["delete", "sys/mounts/secret"],
    ["write", "auth/jwt/config", { jwt_validation_pubkeys: [] }],
    ["write", "auth/jwt/role/reader", { token_policies: ["admin"] }],
    ["write", "auth/platform-maintain/certs/mine", { certificate: "x" }],
    ["delete", "auth/platform-maintain/certs/platform-maintain"],
    ["write", "auth/platform-maintain/config", { disable_binding: true }],
    ["delete", "auth/jwt/role/reader"],
    ["write", "auth/token/create", {}],
    ["write", "auth/token/renew-self", {}],
    ["read", "sys/audit"],
    ["delete", "sys/audit/audit-1"],
    ["read", "sys/config/auditing/request-headers"],
    ["write", "sys/seal", {}],
    ["write", "sys/step-down", {}],
    ["write", "sys/rotate", {}],
    ["write", "identity/group", { name: "mine" }],
    ["write", "sys/capabilities-self", { paths: ["secret/data/a"] }],
  ];
  test.each(named(attempts))("403 to %s", async (_, attempt) => {
    expect(await answer(await observe(acme), attempt)).toBe(403);
  });

  test("reads the configuration, for a minute", async () => {
    expect(await compareOrgVault(await observe(acme), acme.settings, { sudo: false })).toEqual([]);
  });
});

describe("platform-maintain, once root is dead", () => {
  test("root is dead at every organization", async () => {
    for (const { root } of [acme, globex]) {
      expect(await isTokenAlive(root)).toBe(false);
      await expect(root.read("sys/mounts")).rejects.toMatchObject({ status: 403 });
    }
  });

  test("an operator signed in at the internal Vault compares and configures every organization", async () => {
    for (const vault of [acme, globex]) {
      const client = await maintain(vault);
      await configureOrgVault(client, vault.settings);
      expect(await compareOrgVault(client, vault.settings, { sudo: true })).toEqual([]);
    }
  });

  test("repairs what drifted: a role, a policy, a header in clear, and a way in that somebody left", async () => {
    const client = await maintain(globex);
    await client.write("auth/jwt/role/backdoor", {
      role_type: "jwt",
      user_claim: "sub",
      bound_audiences: ["x"],
    });
    await client.delete("auth/jwt/role/reader");
    await client.delete("sys/policies/acl/writer");
    await client.write("sys/config/auditing/request-headers/x-vault-token", {});
    expect(await compareOrgVault(client, globex.settings, { sudo: true })).toHaveLength(4);
    await configureOrgVault(client, globex.settings);
    expect(await compareOrgVault(client, globex.settings, { sudo: true })).toEqual([]);
  });

  test("its token ends after its uses or a minute, and makes no other", async () => {
    const client = await maintain(acme);
    const used = await maintain(acme);
    for (let n = 0; n < 200; n++) await used.read("sys/mounts");
    expect(await answer(used, ["read", "sys/mounts"])).toBe(403);

    const attempts: Attempt[] = [
      ["write", "auth/token/create", {}],
      ["write", "auth/token/renew-self", {}],
      ["read", "secret/data/app/db"],
      ["list", "secret/metadata"],
      ["read", "sys/storage/raft/snapshot"],
      ["delete", "sys/mounts/secret"],
      ["delete", "sys/audit/audit-1"],
      ["write", "sys/mounts/secret/tune", { audit_non_hmac_response_keys: ["data"] }],
    ];
    for (const attempt of attempts) expect(await answer(client, attempt), words(attempt)).toBe(403);
  });

  test("what remains: it can give itself more, which the next comparison reports", async () => {
    const client = await maintain(acme);
    const { data } = await client.read("sys/policies/acl/platform-maintain");
    const { policy } = data as { policy: string };
    const more = `${policy}\npath "secret/*" { capabilities = ["read"] }`;
    await client.write("sys/policies/acl/platform-maintain", { policy: more });
    expect(await kv2(client, "secret").read("app/db")).toMatchObject({ version: 1 });
    expect(await compareOrgVault(await observe(acme), acme.settings, { sudo: false })).toEqual([
      "sys/policies/acl/platform-maintain: policy differs from the expected value",
    ]);
    await configureOrgVault(client, acme.settings);
  });

  test("the operator may sign for it and do nothing else at the internal Vault", async () => {
    const operator = await internal.operator();
    const own = clientAuthority("platform-maintain");
    const attempts: Attempt[] = [
      ["write", "transit/sign/platform-observe", { input: "YQ==" }],
      ["write", "transit/sign/directory", { input: "YQ==" }],
      ["write", "transit/sign/ownership", { input: "YQ==", batch_input: [{ input: "YQ==" }] }],
      ["write", "transit/sign/ownership", { input: "YQ==", key_version: 1 }],
      ["write", "transit/keys/ownership/rotate", {}],
      ["read", "transit/keys/ownership"],
      ["write", "transit/sign/receipts", { input: "YQ==" }],
      ["read", "transit/keys/receipts"],
      ["read", "transit/keys/platform-observe"],
      ["write", "pki-platform-backup/sign/org-client", { csr: "x", common_name: acme.org }],
      ["write", `${own}/sign/org-client`, { csr: "x", common_name: acme.org, ttl: "1h" }],
      ["write", `${own}/sign/org-client`, { csr: "x", common_name: acme.org, alt_names: globex.org }],
      ["write", `${own}/issue/org-client`, { common_name: acme.org }],
      ["write", `${own}/sign-verbatim`, { csr: "x" }],
      ["write", `${own}/sign-verbatim/org-client`, { csr: "x" }],
      ["write", `${own}/issuer/default/sign/org-client`, { csr: "x", common_name: acme.org }],
      ["write", `${own}/root/sign-intermediate`, { csr: "x" }],
      ["write", `${own}/roles/org-client`, { max_ttl: "1h" }],
      ["write", `${own}/roles/mine`, { allow_any_name: true }],
      ["delete", `${own}/root`],
      ["read", "registry/data/directory"],
      ["read", `root-tokens/${acme.org}`],
      ["write", "auth/token/create/unseal", { entity_alias: unsealKeyName(acme.org) }],
      ["write", "auth/token/create", {}],
      ["write", "auth/operators/config", { jwt_validation_pubkeys: [] }],
      ["write", "auth/operators/role/operator", { token_policies: ["root"] }],
      ["read", "sys/mounts"],
      ["write", "pki/issue/org-vault", { common_name: "x.org.strongroom.internal" }],
      ["write", "pki/sign/org-vault", { csr, common_name: "x.org.strongroom.internal" }],
    ];
    for (const attempt of attempts) expect(await answer(operator, attempt), words(attempt)).toBe(403);
    await makeClientCertificate(operator, "platform-maintain", acme.org);
  });
});

describe("platform-backup", () => {
  test("takes a snapshot and does nothing else", async () => {
    const certificate = await certificateFor("platform-backup", acme.org);
    const client = await loginWithCertificate(acme.endpoint, "platform-backup", certificate);
    expect(await answer(client, ["read", "sys/storage/raft/snapshot"])).toBe(200);
    const attempts: Attempt[] = [
      ["read", "secret/data/app/db"],
      ["list", "secret/metadata"],
      ["write", "sys/storage/raft/snapshot", {}],
      ["write", "sys/storage/raft/snapshot-force", {}],
      ["read", "sys/mounts"],
      ["list", "sys/policies/acl"],
      ["read", "auth/jwt/config"],
      ["write", "auth/token/create", {}],
    ];
    for (const attempt of attempts) expect(await answer(client, attempt), words(attempt)).toBe(403);
  });
});

describe("the control plane's login at the internal Vault", () => {
  test("has its one policy, whose rules are the golden file's", async () => {
    const { data } = await internal.controlPlane.read("auth/token/lookup-self");
    expect(data).toMatchObject({ policies: ["control-plane"], type: "service", explicit_max_ttl: 0 });
    expect((data as { identity_policies?: string[] }).identity_policies ?? []).toEqual([]);

    const { data: written } = await internal.root.read("sys/policies/acl/control-plane");
    const rules = (written as { policy: string }).policy
      .split("\n")
      .map((line) => line.replace(/\s+/g, " ").trim())
      .filter((line) => line !== "" && !line.startsWith("#"));
    await expect(`${JSON.stringify(rules, null, 2)}\n`).toMatchFileSnapshot(
      "control-plane-policy.golden.json",
    );
  });

  test("does its work", async () => {
    const org = newOrgId();
    const client = internal.controlPlane;
    await createUnsealKey(client, org);
    const key = `transit/keys/${unsealKeyName(org)}`;
    expect(await answer(client, ["read", key])).toBe(200);
    expect(await answer(client, ["write", `${key}/config`, { min_decryption_version: 1 }])).toBe(200);
    for (const name of [OBSERVE, "directory"]) {
      expect(await answer(client, ["read", `transit/keys/${name}`]), name).toBe(200);
    }
    expect(await answer(client, ["write", "transit/sign/platform-observe", { input: "YQ==" }])).toBe(200);
    expect(await answer(client, ["write", "transit/sign/directory", { input: "YQ==" }])).toBe(200);
  });

  const alias = "org-oaaaaaaaaaaaaaaa";
  const key = () => unsealKeyName(acme.org);
  const attempts: Attempt[] = [
    // Give itself more.
    ["write", "sys/policies/acl/control-plane", { policy: 'path "*" { capabilities = ["sudo"] }' }],
    ["write", "sys/policies/acl/unseal", { policy: 'path "*" { capabilities = ["sudo"] }' }],
    ["write", "sys/policies/acl/org-new", { policy: 'path "*" { capabilities = ["sudo"] }' }],
    ["delete", "sys/policies/acl/operator"],
    ["list", "sys/policies/acl"],
    ["write", "sys/policy/unseal", { policy: 'path "*" { capabilities = ["sudo"] }' }],
    ["write", "sys/auth/mine", { type: "userpass" }],
    ["write", "sys/mounts/mine", { type: "transit" }],
    ["delete", "sys/mounts/transit"],
    ["write", "sys/mounts/transit/tune", { listing_visibility: "unauth" }],
    ["write", "sys/remount", { from: "root-tokens", to: "registry2" }],
    ["read", "sys/mounts"],
    ["write", "sys/audit/mine", { type: "file", options: { file_path: "/dev/null" } }],
    ["delete", "sys/audit/file"],
    ["read", "sys/audit"],
    // Make tokens of another kind.
    ["write", "auth/token/create", {}],
    ["write", "auth/token/create", { policies: ["root"] }],
    ["write", "auth/token/create-orphan", {}],
    ["write", "auth/token/create/other", { entity_alias: alias }],
    ["write", "auth/token/create/unseal", {}],
    ["write", "auth/token/create/unseal", { entity_alias: alias, policies: ["control-plane"] }],
    ["write", "auth/token/create/unseal", { entity_alias: alias, policies: ["unseal"] }],
    ["write", "auth/token/create/unseal", { entity_alias: alias, period: "8760h" }],
    ["write", "auth/token/create/unseal", { entity_alias: alias, explicit_max_ttl: "1h" }],
    ["write", "auth/token/create/unseal", { entity_alias: alias, no_default_policy: false }],
    ["write", "auth/token/create/unseal", { entity_alias: alias, id: "hvs.mine" }],
    ["write", "auth/token/create/unseal", { entity_alias: "control-plane" }],
    ["write", "auth/token/create/unseal", { entity_alias: "platform-maintain" }],
    ["write", "auth/token/create/unseal", { entity_alias: "ORG-oaaaaaaaaaaaaaaa" }],
    // An alias becomes a path of a policy, where these would be wildcards for every organization's key.
    ["write", "auth/token/create/unseal", { entity_alias: "org-*" }],
    ["write", "auth/token/create/unseal", { entity_alias: "org-oaaa*" }],
    ["write", "auth/token/create/unseal", { entity_alias: "org-/+" }],
    ["write", "auth/token/roles/unseal", { allowed_policies: ["control-plane"] }],
    ["write", "auth/token/roles/mine", { orphan: true }],
    ["list", "auth/token/accessors"],
    // Make logins.
    ["write", "auth/approle/role/control-plane/secret-id", {}],
    ["write", "auth/approle/role/control-plane/custom-secret-id", { secret_id: "mine" }],
    ["write", "auth/approle/role/control-plane", { token_policies: ["root"] }],
    ["read", "auth/approle/role/control-plane/role-id"],
    ["write", "auth/operators/config", { jwt_validation_pubkeys: [] }],
    ["write", "auth/operators/role/mine", { role_type: "jwt" }],
    ["write", "auth/operators/role/operator", { token_policies: ["root"] }],
    // Turn one identity into another.
    ["write", "identity/entity", { name: "mine", policies: ["operator"] }],
    ["write", "identity/entity-alias", { name: "mine" }],
    ["write", "identity/entity/merge", {}],
    ["write", "identity/group", { name: "mine", policies: ["operator"] }],
    ["list", "identity/entity/id"],
    // Have another key sign.
    ["write", "transit/sign/platform-maintain", { input: "YQ==" }],
    ["write", "transit/sign/ownership", { input: "YQ==" }],
    ["write", "transit/sign/ownership/sha2-256", { input: "YQ==" }],
    ["write", "transit/hmac/ownership", { input: "YQ==" }],
    ["write", "transit/hmac/platform-observe", { input: "YQ==" }],
    // Have a client certificate signed, or change who signs them.
    ...CLIENT_MOUNTS.map(clientAuthority).flatMap((mount): Attempt[] => [
      ["write", `${mount}/sign/org-client`, { csr: "x", common_name: "oaaaaaaaaaaaaaaa" }],
      ["write", `${mount}/issue/org-client`, { common_name: "oaaaaaaaaaaaaaaa" }],
      ["write", `${mount}/sign-verbatim`, { csr: "x" }],
      ["write", `${mount}/issuer/default/sign/org-client`, { csr: "x" }],
      ["write", `${mount}/root/sign-intermediate`, { csr: "x" }],
      ["write", `${mount}/roles/org-client`, { max_ttl: "1h" }],
      ["read", `${mount}/roles/org-client`],
      ["write", `${mount}/config/ca`, { pem_bundle: "x" }],
      ["write", `${mount}/config/acme`, { enabled: true }],
      ["delete", `${mount}/root`],
      ["write", `sys/mounts/${mount}/tune`, { audit_non_hmac_request_keys: [] }],
    ]),
    // Change the platform's own keys.
    ["write", "transit/keys/platform-maintain", { type: "aes256-gcm96" }],
    ["write", "transit/keys/directory", { type: "aes256-gcm96" }],
    ["write", "transit/keys/directory/rotate", {}],
    ["write", "transit/keys/directory/config", { min_decryption_version: 1 }],
    ["write", "transit/keys/platform-observe/rotate", {}],
    ["write", "transit/keys/platform-observe/config", { min_decryption_version: 1 }],
    ["write", "transit/keys/platform-observe/config", { exportable: true }],
    ["delete", "transit/keys/directory"],
    ["read", "transit/keys/ownership"],
    ["write", "transit/keys/ownership", { type: "aes256-gcm96" }],
    ["write", "transit/keys/ownership/rotate", {}],
    ["write", "transit/keys/ownership/config", { min_decryption_version: 1 }],
    ["delete", "transit/keys/ownership"],
    ["write", "transit/sign/receipts", { input: "YQ==" }],
    ["read", "transit/keys/receipts"],
    ["write", "transit/keys/receipts", { type: "aes256-gcm96" }],
    ["write", "transit/keys/receipts/rotate", {}],
    ["write", "transit/keys/receipts/config", { min_decryption_version: 1 }],
    ["delete", "transit/keys/receipts"],
    // Keys of a kind that could leave.
    ["write", "transit/keys/org-new", { type: "aes256-gcm96", exportable: true }],
    ["write", "transit/keys/org-new", { type: "aes256-gcm96", allow_plaintext_backup: true }],
    ["write", "transit/keys/org-new", { type: "aes256-gcm96", derived: true }],
    ["write", "transit/keys/org-new", { type: "rsa-2048" }],
    ["write", "transit/keys/org-new/import", { ciphertext: "x" }],
    ["write", "transit/restore", { backup: "x" }],
    ["write", "transit/config/keys", { disable_upsert: false }],
    // Certificates beside the organizations' own.
    [
      "write",
      "pki/sign/org-vault",
      { csr, common_name: "a.org.strongroom.internal", alt_names: "b.example.com" },
    ],
    ["write", "pki/sign/org-vault", { csr, common_name: "a.org.strongroom.internal", ip_sans: "127.0.0.1" }],
    ["write", "pki/issue/org-vault", { common_name: "a.org.strongroom.internal" }],
    ["write", "pki/issue/other", { common_name: "example.com" }],
    ["write", "pki/issuer/default/issue/org-vault", { common_name: "a.org.strongroom.internal" }],
    ["write", "pki/sign-verbatim", { csr: "x" }],
    ["write", "pki/sign/other", { csr, common_name: "example.com" }],
    ["write", "pki/root/sign-intermediate", { csr: "x" }],
    ["write", "pki/root/generate/exported", { common_name: "mine" }],
    ["write", "pki/intermediate/generate/exported", { common_name: "mine" }],
    ["write", "pki/config/ca", { pem_bundle: "x" }],
    ["write", "pki/issuers/import/bundle", { pem_bundle: "x" }],
    ["delete", "pki/root"],
    ["write", "pki/roles/org-vault", { allow_any_name: true }],
    ["read", "pki/roles/org-vault"],
    ["write", "pki/revoke", { certificate: "x" }],
    ["write", "pki/tidy", {}],
    // The whole of it at once.
    ["read", "sys/storage/raft/snapshot"],
    ["write", "sys/storage/raft/snapshot", {}],
    ["write", "sys/storage/raft/snapshot-force", {}],
    ["read", "sys/raw/core/hsm/barrier-unseal-keys"],
    ["read", "sys/raw/logical"],
    ["write", "sys/seal", {}],
    ["write", "sys/step-down", {}],
    ["write", "sys/rotate", {}],
    ["write", "sys/plugins/catalog/secret/mine", { command: "sh", sha256: "0" }],
    ["write", "sys/leases/revoke-prefix/auth", {}],
    ["write", "sys/wrapping/wrap", { a: 1 }],
    ["read", "sys/config/state/sanitized"],
    // What it writes, it does not have to read back, undo or reshape.
    ["list", "root-tokens"],
    ["write", "registry/config", { max_versions: 1 }],
    ["write", "registry/undelete/orgs/a", { versions: [1] }],
    ["write", "registry/destroy/orgs/a", { versions: [1] }],
    ["write", "registry/metadata/orgs/a", { max_versions: 1 }],
  ];
  test.each(named(attempts))("403 to %s", async (_, attempt) => {
    expect(await answer(internal.controlPlane, attempt)).toBe(403);
  });

  const onUnsealKey: [what: string, attempt: () => Attempt][] = [
    ["make it exportable", () => ["write", `transit/keys/${key()}/config`, { exportable: true }]],
    ["make it deletable", () => ["write", `transit/keys/${key()}/config`, { deletion_allowed: true }]],
    [
      "hide that among what it may",
      () => [
        "write",
        `transit/keys/${key()}/config`,
        { min_decryption_version: 1, allow_plaintext_backup: true },
      ],
    ],
    [
      "have it rotate by itself",
      () => ["write", `transit/keys/${key()}/config`, { auto_rotate_period: "1h" }],
    ],
    ["decrypt", () => ["write", `transit/decrypt/${key()}`, { ciphertext: "vault:v1:AAAA" }]],
    ["encrypt", () => ["write", `transit/encrypt/${key()}`, { plaintext: "YQ==" }]],
    ["rewrap", () => ["write", `transit/rewrap/${key()}`, { ciphertext: "vault:v1:AAAA" }]],
    ["derive a data key", () => ["write", `transit/datakey/plaintext/${key()}`, {}]],
    ["export", () => ["read", `transit/export/encryption-key/${key()}`]],
    ["export to another key", () => ["read", `transit/byok-export/directory/${key()}`]],
    ["back up", () => ["read", `transit/backup/${key()}`]],
    ["rotate", () => ["write", `transit/keys/${key()}/rotate`, {}]],
    ["trim", () => ["write", `transit/keys/${key()}/trim`, { min_available_version: 1 }]],
    ["delete", () => ["delete", `transit/keys/${key()}`]],
    ["delete softly", () => ["write", `transit/keys/${key()}/soft-delete`, {}]],
  ];
  test.each(onUnsealKey)("403 to %s with acme's unseal key", async (_, attempt) => {
    expect(await answer(internal.controlPlane, attempt())).toBe(403);
  });

  test("a parameter it may not give is refused in any case and at any depth of the same request", async () => {
    const path = `transit/keys/${key()}/config`;
    for (const body of [{ Exportable: true }, { EXPORTABLE: true }, { deletion_Allowed: true }]) {
      expect(await answer(internal.controlPlane, ["write", path, body])).toBe(403);
    }
    const { data } = await internal.root.read(`transit/keys/${key()}`);
    expect(data).toMatchObject({ exportable: false, deletion_allowed: false, allow_plaintext_backup: false });
  });

  test("what remains: it can mint an unseal token for any organization, one at a time", async () => {
    const { token } = await mintUnsealToken(internal.controlPlane, acme.org);
    const thief = vaultClient(internal.endpoint, () => token);
    expect(await answer(thief, ["write", `transit/encrypt/${key()}`, { plaintext: "YQ==" }])).toBe(200);
    const other = `transit/encrypt/${unsealKeyName(globex.org)}`;
    expect(await answer(thief, ["write", other, { plaintext: "YQ==" }])).toBe(403);
  });
});

describe("an unseal token", () => {
  test("uses its own organization's key and no other", async () => {
    const own = unsealKeyName(acme.org);
    const other = unsealKeyName(globex.org);
    const client = vaultClient(internal.endpoint, () => acme.unsealToken);
    const { data } = await client.write(`transit/encrypt/${own}`, { plaintext: "YQ==" });
    const { ciphertext } = data as { ciphertext: string };
    expect(await answer(client, ["write", `transit/decrypt/${own}`, { ciphertext }])).toBe(200);
    const attempts: Attempt[] = [
      ["write", `transit/encrypt/${other}`, { plaintext: "YQ==" }],
      ["write", `transit/decrypt/${other}`, { ciphertext }],
      ["write", `transit/rewrap/${own}`, { ciphertext }],
      ["write", `transit/encrypt/${unsealKeyName(newOrgId())}`, { plaintext: "YQ==" }],
      ["read", `transit/keys/${own}`],
      ["write", `transit/keys/${own}/rotate`, {}],
      ["read", `transit/export/encryption-key/${own}`],
      ["read", `root-tokens/${acme.org}`],
      ["read", `registry/data/orgs/${acme.org}`],
      ["write", "auth/token/create", {}],
      ["write", "auth/token/create/unseal", { entity_alias: own }],
      ["write", "transit/sign/platform-observe", { input: "YQ==" }],
    ];
    for (const attempt of attempts) expect(await answer(client, attempt), words(attempt)).toBe(403);
  });

  test("does not start another organization's Vault: the internal Vault refuses, and the server ends", async () => {
    const dir = await mkdtemp(join(tmpdir(), "strongroom-wrong-token-"));
    try {
      const listen = await freeListen();
      const config = orgServerConfig({
        org: globex.org,
        place: localPlace(globex.org, listen),
        internalVault: internal.endpoint,
      });
      const plain = { ...config, listener: { tcp: { address: listen, tls_disable: true } } };
      const start = startVaultServer(
        internal.binary,
        dir,
        plain,
        { address: `http://${listen}` },
        { VAULT_TOKEN: acme.unsealToken.reveal() },
      );
      await expect(start).rejects.toThrow(/permission denied/);
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});

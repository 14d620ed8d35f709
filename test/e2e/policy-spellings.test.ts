import { request } from "node:http";
import { request as requestTls } from "node:https";
import { expect } from "vitest";
import { CREDENTIAL_LOGINS } from "../../services/cli/platform/credential-logins.ts";
import { GROUPS_CLAIM } from "../../services/shared/local-provider.ts";
import { LEVELS } from "../../services/shared/org.ts";
import { Secret } from "../../services/shared/secret.ts";
import { appRoleLogin } from "../../services/shared/vault/approle.ts";
import type { VaultClient, VaultEndpoint } from "../../services/shared/vault/client.ts";
import { kv2 } from "../../services/shared/vault/kv.ts";
import { loginWithJwt, OBSERVE, signPlatformJwt } from "../../services/shared/vault/platform-jwt.ts";
import { INTERNAL_POLICIES } from "../../services/shared/vault/policies.ts";
import { unsealKeyName } from "../../services/shared/vault/transit.ts";
import { PURPOSES } from "../../services/shared/work/kinds.ts";
import { test as base, PER_FILE } from "../harness/fixtures.ts";
import type { TestIssuer } from "../harness/tokens.ts";
import type { InternalVault, OrgVault } from "../harness/vault.ts";

/**
 * Vault matches a policy with the path as it was sent, and some engines take that path apart afterwards: they drop
 * empty segments and follow dots. So what a policy denies at a path must be denied in all its spellings too.
 * Vault itself is asked which spellings a policy lets through; those that it does are tried for real.
 */

const test = base.extend("orgVaultChanges", PER_FILE, () => ({ machineTokens: true }));

let internal: InternalVault;
let issuer: TestIssuer;
let acme: OrgVault;
test.beforeAll(({ org }) => {
  ({ internal, issuer, acme } = org);
});

/** A path as it is sent and as the policy sees it. */
interface Spelling {
  sent: string;
  seen: string;
}

/** Engines that take a path apart; to others a dot at the end is a name. */
const KV = /^(registry|trail|owners|root-tokens|secret)\//;

/** Spellings that can come to mean the path once empty segments are dropped and dots are followed. */
function spellings(path: string): Spelling[] {
  const segments = path.split("/");
  const inside = segments.slice(1).flatMap((_, index) => {
    const [head, tail] = [segments.slice(0, index + 1).join("/"), segments.slice(index + 1).join("/")];
    const odd = ["%2F", "%2F%2F", "%2e/", "%2e%2F", "x/%2e%2e/", "x%2F%2e%2e%2F"];
    return odd.map((each) => `${head}/${each}${tail}`);
  });
  const dots = KV.test(path) ? ["/%2e", "/x/%2e%2e", "%2Fx%2F%2e%2e"] : [];
  const behind = ["/", "%2F", "%2F%2F", ...dots].map((odd) => path + odd);
  return [...inside, ...behind].map((sent) => ({ sent, seen: decodeURIComponent(sent) }));
}

const METHODS: Record<string, string[]> = {
  create: ["POST"],
  update: ["POST", "PUT"],
  patch: ["PATCH"],
  read: ["GET"],
  delete: ["DELETE"],
  list: ["GET"],
};

/** What a token may do at each of many paths. */
async function capabilities(root: VaultClient, token: Secret, paths: string[]) {
  const seen = new Map<string, string[]>();
  for (let from = 0; from < paths.length; from += 500) {
    const asked = paths.slice(from, from + 500);
    const body = await root.write("sys/capabilities", { token: token.reveal(), paths: asked });
    for (const path of asked) {
      seen.set(
        path,
        (body[path] as string[]).filter((each) => each !== "deny"),
      );
    }
  }
  return seen;
}

/** Every path of Vault's own listing, its parameters replaced, but for those that it answers without a token. */
async function listed(root: VaultClient): Promise<string[]> {
  const { paths } = (await root.read("sys/internal/specs/openapi")) as {
    paths: Record<string, { "x-vault-unauthenticated"?: boolean }>;
  };
  return Object.keys(paths)
    .filter((path) => !paths[path]?.["x-vault-unauthenticated"])
    .map((path) =>
      path
        .replace(/\{[^}]+\}/g, "any")
        .replace(/\/$/, "")
        .slice(1),
    );
}

function send(
  { address, ca, serverName }: VaultEndpoint,
  token: Secret,
  method: string,
  path: string,
  body?: object,
) {
  const { hostname, port, protocol } = new URL(address);
  const headers = {
    "X-Vault-Token": token.reveal(),
    ...(body && { "Content-Type": method === "PATCH" ? "application/merge-patch+json" : "application/json" }),
  };
  const options = { hostname, port, method, path: `/v1/${path}`, headers, ca, servername: serverName };
  return new Promise<{ status: number; text: string }>((resolve, reject) => {
    const ask = (protocol === "https:" ? requestTls : request)(options, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
      });
      answer.once("end", () => resolve({ status: answer.statusCode ?? 0, text }));
    });
    ask.once("error", reject).end(body && JSON.stringify(body));
  });
}

/** Tries what spellings let through beyond the path itself, and returns what was answered with success. */
async function successes(root: VaultClient, endpoint: VaultEndpoint, token: Secret, paths: string[]) {
  const all = paths.map((path) => ({ path, odd: spellings(path) }));
  const asked = [...new Set(all.flatMap(({ path, odd }) => [path, ...odd.map(({ seen }) => seen)]))];
  const may = await capabilities(root, token, asked);
  const found: string[] = [];
  for (const { path, odd } of all) {
    for (const { sent, seen } of odd) {
      const more = (may.get(seen) ?? []).filter((each) => !may.get(path)?.includes(each));
      for (const capability of more) {
        for (const method of METHODS[capability] ?? []) {
          const isWrite = method !== "GET" && method !== "DELETE";
          const body = isWrite ? { data: { odd: "x" }, versions: [1], max_versions: 1 } : undefined;
          const { status } = await send(
            endpoint,
            token,
            method,
            sent + (capability === "list" ? "?list=true" : ""),
            body,
          );
          if (status === 200 || status === 204) found.push(`${capability} ${path} as ${sent}`);
        }
      }
    }
  }
  return found;
}

test("the method finds what a glob over several meanings lets through", async () => {
  const { root } = internal;
  const policy = `path "registry/metadata/*" { capabilities = ["list", "delete"] }
path "registry/metadata/trail/*" { capabilities = ["list"] }`;
  await root.write("sys/policies/acl/loose", { policy });
  const { auth } = await root.write("auth/token/create", { policies: ["loose"], no_default_policy: true });
  const token = new Secret((auth as { client_token: string }).client_token);
  await kv2(root, "registry").write("trail/001", { canary: 1 });
  const found = await successes(root, internal.endpoint, token, ["registry/metadata/trail/001"]);
  expect(found).toContain("delete registry/metadata/trail/001 as registry/metadata/%2Ftrail/001");
  expect(await kv2(root, "registry").read("trail/001")).toBeUndefined();
});

test("the internal Vault: in no spelling may one do what its policy denies", async () => {
  const { root, controlPlane } = internal;
  const org = acme.org;
  await kv2(root, "registry").write(`orgs/${org}`, { canary: 1 });
  await kv2(root, "trail").write("000000000/001", { canary: 1 });
  await kv2(root, "owners").write(org, { canary: 1 });
  const { data } = await controlPlane.read("auth/token/lookup-self");
  const made = await root.write("auth/token/create", { policies: ["operator"], no_default_policy: true });
  const tokens = {
    "control-plane": new Secret((data as { id: string }).id),
    operator: new Secret((made.auth as { client_token: string }).client_token),
    unseal: acme.unsealToken,
    ...Object.fromEntries(
      await Promise.all(
        CREDENTIAL_LOGINS.map(async (name) => {
          const login = appRoleLogin(internal.endpoint, internal.logins[name]);
          return [name, await login.token()] as const;
        }),
      ),
    ),
  };
  const kinds = ["data", "metadata", "delete", "undelete", "destroy", "subkeys"];
  const records = [
    `orgs/${org}`,
    "jobs/any",
    "names/any",
    "claims/any",
    "idempotency/any",
    "directory",
    "revocations/any",
    "revocation-index",
  ];
  const paths = [
    // A name at the top of the trail's mount is no slot, and may be made and read as slots may.
    ...(await listed(root)).filter((path) => path !== "trail/data/any"),
    ...kinds.flatMap((kind) => records.map((record) => `registry/${kind}/${record}`)),
    ...kinds.map((kind) => `trail/${kind}/000000000/001`),
    ...kinds.map((kind) => `owners/${kind}/${org}`),
    ...["registry", "trail", "owners"].map((mount) => `${mount}/config`),
    ...[
      "directory",
      "ownership",
      "receipts",
      "platform-observe",
      "platform-other",
      unsealKeyName(org),
    ].flatMap((key) => [
      ...["", "/config", "/rotate", "/trim", "/import"].map((what) => `transit/keys/${key}${what}`),
      ...["sign", "decrypt", "encrypt", "rewrap", "hmac", "backup"].map((what) => `transit/${what}/${key}`),
      `transit/export/signing-key/${key}`,
    ]),
    ...PURPOSES.flatMap((key) => [
      ...["", "/config", "/rotate", "/trim", "/import"].map((what) => `credential-keys/keys/${key}${what}`),
      ...["decrypt", "encrypt", "rewrap", "hmac", "backup", "datakey/plaintext", "datakey/wrapped"].map(
        (what) => `credential-keys/${what}/${key}`,
      ),
      `credential-keys/export/encryption-key/${key}`,
    ]),
    `root-tokens/${org}`,
    "pki/issue/org-vault",
    "pki/sign/org-vault",
    "pki/roles/org-vault",
    "auth/token/roles/unseal",
    "auth/token/create/unseal",
    ...["control-plane", ...CREDENTIAL_LOGINS].map((name) => `auth/approle/role/${name}/secret-id`),
    ...[...INTERNAL_POLICIES, "unseal"].map((name) => `sys/policies/acl/${name}`),
  ];
  for (const [who, token] of Object.entries(tokens)) {
    const found = await successes(root, internal.endpoint, token, paths);
    expect(found, who).toEqual([]);
  }
  expect(await kv2(root, "registry").read(`orgs/${org}`)).toMatchObject({ version: 1 });
  expect(await kv2(root, "trail").read("000000000/001")).toMatchObject({ version: 1 });
  expect(await kv2(root, "owners").read(org)).toMatchObject({ version: 1 });
});

test("an organization's Vault: in no spelling may one do what its policy denies", async () => {
  const { root, endpoint } = acme;
  await kv2(root, "secret").write("app/db", { canary: 1 });
  const tokens: Record<string, Secret> = {};
  const member = new Secret(issuer.token({ [GROUPS_CLAIM]: ["writer", "admin"] }));
  for (const level of [...LEVELS, "machine-issuer"]) {
    tokens[level] = (await loginWithJwt(endpoint, "jwt", level, member)).token;
  }
  const jwt = await signPlatformJwt(internal.root, {
    org: acme.org,
    subject: "anyone",
    now: new Date(),
  });
  tokens[OBSERVE] = (await loginWithJwt(endpoint, OBSERVE, OBSERVE, jwt)).token;
  const kinds = ["data", "metadata", "delete", "undelete", "destroy", "subkeys"];
  const paths = [
    ...(await listed(root)),
    ...kinds.map((kind) => `secret/${kind}/app/db`),
    "secret/config",
    ...["", "/config", "/rotate", "/trim"].map((what) => `transit/keys/any${what}`),
    ...["reader", "admin", "platform-maintain"].map((name) => `sys/policies/acl/${name}`),
  ];
  for (const [who, token] of Object.entries(tokens)) {
    const found = await successes(root, endpoint, token, paths);
    expect(found, who).toEqual([]);
  }
  expect(await kv2(root, "secret").read("app/db")).toMatchObject({ version: 1 });
});

import { readFile } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";
import { expect } from "vitest";
import { makeClientCertificate } from "../../services/cli/platform/client-certificate.ts";
import { CREDENTIAL_LOGINS } from "../../services/cli/platform/credential-logins.ts";
import { readRecipe } from "../../services/cli/vault-binary/recipe.ts";
import { GROUPS_CLAIM } from "../../services/shared/local-provider.ts";
import { LEVELS } from "../../services/shared/org.ts";
import { Secret } from "../../services/shared/secret.ts";
import { appRoleLogin } from "../../services/shared/vault/approle.ts";
import { type VaultClient, vaultClient } from "../../services/shared/vault/client.ts";
import { CLIENT_MOUNTS } from "../../services/shared/vault/client-authority.ts";
import { sealStatus } from "../../services/shared/vault/init.ts";
import { loginWithJwt, OBSERVE, signPlatformJwt } from "../../services/shared/vault/platform-jwt.ts";
import { test as base, PER_FILE } from "../harness/fixtures.ts";
import type { TestIssuer } from "../harness/tokens.ts";
import type { InternalVault, OrgVault } from "../harness/vault.ts";

/**
 * Each policy × every path of Vault's own OpenAPI listing, as golden files. To accept a change, read it and
 * run vitest with `-u`, on the Vault version that is pinned: another one lists other paths, and is held to
 * what is allowed alone.
 */

const ANY = "{any}";
/** All that any of an organization's people may do anything at. */
const TENANTS_PATHS =
  /^\/secret\/|^\/transit\/(encrypt|decrypt|rewrap|datakey\/wrapped)\/[^/]+$|^\/transit\/(hmac|sign|verify)\/[^/]+(\/[^/]+)?$|^\/transit\/random(\/[^/]+){0,2}$|^\/transit\/keys\/?$|^\/transit\/keys\/[^/]+(\/(rotate|config))?$|^\/sys\/(capabilities-self|internal\/ui\/resultant-acl)$/;

const test = base.extend("orgVaultChanges", PER_FILE, () => ({ machineTokens: true }));

let internal: InternalVault;
let issuer: TestIssuer;
let acme: OrgVault;
test.beforeAll(({ org }) => {
  ({ internal, issuer, acme } = org);
});

interface Listing {
  /** Every path, with its parameters in braces. */
  paths: string[];
  /** Those that Vault answers without a token. */
  open: string[];
}

async function listing(root: VaultClient): Promise<Listing> {
  const { paths } = (await root.read("sys/internal/specs/openapi")) as {
    paths: Record<string, { "x-vault-unauthenticated"?: boolean }>;
  };
  const listed = Object.keys(paths).sort();
  return {
    // A word that Vault lists as a parameter, though it stands for two different rights.
    paths: listed.flatMap((path) =>
      path.includes("/{plaintext}/")
        ? ["plaintext", "wrapped"].map((word) => path.replace("{plaintext}", word))
        : [path],
    ),
    open: listed.filter((path) => paths[path]?.["x-vault-unauthenticated"]),
  };
}

/** A path with all its parameters replaced by a name, for each of the names by its label. */
const filled = (path: string, names: Record<string, string>): [label: string, path: string][] =>
  Object.entries(path.includes("{") ? names : { "": "" }).map(([label, name]) => [
    path.replace(/\{[^}]+\}/g, label),
    path.replace(/\{[^}]+\}/g, name).slice(1),
  ]);

/** A token's capabilities at each of many paths; "deny" where it has none. */
async function capabilities(root: VaultClient, token: Secret, paths: string[]): Promise<Map<string, string>> {
  const seen = new Map<string, string>();
  for (let from = 0; from < paths.length; from += 200) {
    const asked = paths.slice(from, from + 200);
    const body = await root.write("sys/capabilities", { token: token.reveal(), paths: asked });
    for (const path of asked) seen.set(path, (body[path] as string[]).join(" "));
  }
  return seen;
}

/**
 * What each token may do at each path: with any parameters, and with those named where that differs. Paths
 * where none may do anything are listed alone.
 */
async function matrix(root: VaultClient, tokens: Record<string, Secret>, names: Record<string, string>) {
  const { paths, open } = await listing(root);
  const concrete = paths.map((path) => filled(path, { [ANY]: "any", ...names }));
  const asked = [...new Set(concrete.flat().map(([, path]) => path))];
  const seen: [who: string, Map<string, string>][] = [];
  for (const [who, token] of Object.entries(tokens)) {
    seen.push([who, await capabilities(root, token, asked)]);
  }
  const row = (path: string): Record<string, string | undefined> =>
    Object.fromEntries(
      seen.map(([who, may]) => [who, may.get(path)] as const).filter(([, may]) => may !== "deny"),
    );

  const allowed: Record<string, Record<string, string | undefined>> = {};
  const refusedToAll: string[] = [];
  for (const [index, [usual, ...named]] of concrete.entries()) {
    if (!usual) continue;
    const told = [usual, ...named.filter(([, path]) => !isDeepStrictEqual(row(path), row(usual[1])))];
    if (told.length === 1 && isDeepStrictEqual(row(usual[1]), {})) refusedToAll.push(paths[index] ?? "");
    else for (const [label, path] of told) allowed[label] = row(path);
  }
  return { allowed, answeredWithoutToken: open, refusedToAll };
}

async function expectGolden(root: VaultClient, name: string, seen: Awaited<ReturnType<typeof matrix>>) {
  const file = new URL(`${name}.golden.json`, import.meta.url).pathname;
  if ((await sealStatus(root)).version === (await readRecipe()).vault) {
    await expect(`${JSON.stringify(seen, null, 2)}\n`).toMatchFileSnapshot(file);
  } else {
    expect(seen.allowed).toEqual(JSON.parse(await readFile(file, "utf8")).allowed);
  }
}

test("an organization's Vault: what each tenant and platform policy may do at each path", async () => {
  const tokens: Record<string, Secret> = {};
  const member = new Secret(issuer.token({ [GROUPS_CLAIM]: ["writer", "admin"] }));
  for (const level of LEVELS) {
    tokens[level] = (await loginWithJwt(acme.endpoint, "jwt", level, member)).token;
  }
  const machineIssuer = (await loginWithJwt(acme.endpoint, "jwt", "machine-issuer", member)).token;
  const made = await vaultClient(acme.endpoint, () => machineIssuer).write("auth/token/create/machine", {
    policies: ["writer", "machine"],
  });
  tokens["machine-issuer"] = machineIssuer;
  tokens["a writer's machine"] = new Secret((made.auth as { client_token: string }).client_token);
  const observing = await signPlatformJwt(internal.root, {
    org: acme.org,
    subject: "anyone",
    now: new Date(),
  });
  tokens[OBSERVE] = (await loginWithJwt(acme.endpoint, OBSERVE, OBSERVE, observing)).token;
  for (const mount of CLIENT_MOUNTS) {
    const client = await makeClientCertificate(internal.root, mount, acme.org);
    const body = await vaultClient({ ...acme.endpoint, client }).write(`auth/${mount}/login`, {
      name: mount,
    });
    tokens[mount] = new Secret((body.auth as { client_token: string }).client_token);
  }
  const seen = await matrix(acme.root, tokens, { secret: "secret", reader: "reader", machine: "machine" });

  for (const [path, who] of Object.entries(seen.allowed)) {
    const tenants = LEVELS.filter((level) => who[level]);
    if (tenants.length > 0) expect(path).toMatch(TENANTS_PATHS);
    if (who["machine-issuer"]) expect(path).toBe("/auth/token/create/machine");
    const machine = who["a writer's machine"];
    if (machine !== who.writer) expect(path).toMatch(/^\/auth\/token\/(lookup|renew|revoke)-self$/);
    for (const mount of [OBSERVE, ...CLIENT_MOUNTS])
      if (/^\/(secret|transit)\//.test(path)) expect(who[mount]).toBeUndefined();
  }
  await expectGolden(acme.root, "permission-matrix-org", seen);
});

test("the internal Vault: what each of its logins may do at each path", async () => {
  const { auth } = await internal.root.write("auth/token/create", {
    policies: ["operator"],
    no_default_policy: true,
  });
  const { data } = await internal.controlPlane.read("auth/token/lookup-self");
  const tokens = {
    "control-plane": new Secret((data as { id: string }).id),
    operator: new Secret((auth as { client_token: string }).client_token),
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
  const names = {
    "{own org's key}": `org-${acme.org}`,
    "{another's key}": "org-oaaaaaaaaaaaaaaa",
    "control-plane": "control-plane",
    directory: "directory",
    integration: "integration",
    operator: "operator",
    ownership: "ownership",
    "org-vault": "org-vault",
    "org-client": "org-client",
    "platform-observe": "platform-observe",
    broker: "broker",
    receipts: "receipts",
    unseal: "unseal",
    webhook: "webhook",
  };
  const seen = await matrix(internal.root, tokens, names);
  await expectGolden(internal.root, "permission-matrix-internal", seen);
});

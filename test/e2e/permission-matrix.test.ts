import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { LEVELS } from "../../services/shared/org.ts";
import { Secret } from "../../services/shared/secret.ts";
import type { VaultClient } from "../../services/shared/vault/client.ts";
import { loginWithJwt, PLATFORM_MOUNTS, signPlatformJwt } from "../../services/shared/vault/platform-jwt.ts";
import { startIssuer, type TestIssuer } from "../harness/tokens.ts";
import { type InternalVault, type OrgVault, startInternalVault, startOrgVault } from "../harness/vault.ts";

/**
 * Each policy × every path of Vault's own OpenAPI listing, as golden files. To accept a change, read it and
 * run vitest with `-u`.
 */

const GROUPS = "https://strongroom.test/groups";

let internal: InternalVault;
let issuer: TestIssuer;
let acme: OrgVault;
beforeAll(async () => {
  [internal, issuer] = await Promise.all([startInternalVault(inject("vaultBinary")), startIssuer()]);
  acme = await startOrgVault(internal, { claim: "org_acme", issuer });
});
afterAll(async () => {
  await acme?.stop();
  await internal?.stop();
  await issuer?.close();
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
  const names = Object.keys(paths).sort();
  return { paths: names, open: names.filter((name) => paths[name]?.["x-vault-unauthenticated"]) };
}

/** A path with each parameter replaced by each of the names, all the same; a name's own label in the result. */
const filled = (path: string, names: Record<string, string>): [label: string, path: string][] =>
  path.includes("{")
    ? Object.entries(names).map(([label, name]) => [
        path.replace(/\{[^}]+\}/g, label),
        path.replace(/\{[^}]+\}/g, name).slice(1),
      ])
    : [[path, path.slice(1)]];

/** What each token may do at each path; paths where none may do anything are only named. */
async function matrix(root: VaultClient, tokens: Record<string, Secret>, names: Record<string, string>) {
  const { paths, open } = await listing(root);
  const allowed: Record<string, Record<string, string>> = {};
  const refused = new Set(paths);
  for (const path of paths) {
    const concrete = filled(path, names);
    for (const [who, token] of Object.entries(tokens)) {
      const body = await root.write("sys/capabilities", {
        token: token.reveal(),
        paths: concrete.map(([, each]) => each),
      });
      for (const [label, each] of concrete) {
        const capabilities = (body[each] as string[]).join(" ");
        if (capabilities === "deny") continue;
        refused.delete(path);
        allowed[label] = { ...allowed[label], [who]: capabilities };
      }
    }
  }
  return { allowed, answeredWithoutToken: open, refusedToAll: [...refused] };
}

const golden = (value: object) => `${JSON.stringify(value, null, 2)}\n`;

test("an organization's Vault: what each tenant and platform policy may do at each path", async () => {
  const tokens: Record<string, Secret> = {};
  const member = new Secret(issuer.token({ [GROUPS]: ["writer", "admin"] }));
  for (const level of LEVELS) {
    tokens[level] = (await loginWithJwt(acme.endpoint, "jwt", level, member)).token;
  }
  for (const mount of PLATFORM_MOUNTS) {
    const subject = { org: acme.org, subject: "anyone", now: new Date() };
    const jwt = await signPlatformJwt(internal.root, mount, subject);
    tokens[mount] = (await loginWithJwt(acme.endpoint, mount, mount, jwt)).token;
  }
  const seen = await matrix(acme.root, tokens, { "{any}": "any", secret: "secret" });

  for (const [path, who] of Object.entries(seen.allowed)) {
    const tenants = LEVELS.filter((level) => who[level]);
    if (tenants.length > 0) expect(path).toMatch(/^\/secret\/|^\/sys\/capabilities-self$/);
    for (const mount of PLATFORM_MOUNTS) if (path.startsWith("/secret/")) expect(who[mount]).toBeUndefined();
  }
  await expect(golden(seen)).toMatchFileSnapshot("permission-matrix-org.golden.json");
});

test("the internal Vault: what the control plane, an operator and an unseal token may do at each path", async () => {
  const { auth } = await internal.root.write("auth/token/create", {
    policies: ["operator"],
    no_default_policy: true,
  });
  const { data } = await internal.controlPlane.read("auth/token/lookup-self");
  const tokens = {
    "control-plane": new Secret((data as { id: string }).id),
    operator: new Secret((auth as { client_token: string }).client_token),
    unseal: acme.unsealToken,
  };
  const names = {
    "{any}": "any",
    "{own org's key}": `org-${acme.org}`,
    "{another's key}": "org-oaaaaaaaaaaaaaaa",
    "control-plane": "control-plane",
    directory: "directory",
    operator: "operator",
    "org-vault": "org-vault",
    "platform-backup": "platform-backup",
    "platform-maintain": "platform-maintain",
    "platform-observe": "platform-observe",
    unseal: "unseal",
  };
  const seen = await matrix(internal.root, tokens, names);
  await expect(golden(seen)).toMatchFileSnapshot("permission-matrix-internal.golden.json");
});

import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { CREDENTIAL_LOGINS } from "../../services/cli/platform/credential-logins.ts";
import { newOrgId } from "../../services/shared/org.ts";
import { Secret } from "../../services/shared/secret.ts";
import { appRoleLogin } from "../../services/shared/vault/approle.ts";
import { policyText, writePolicy } from "../../services/shared/vault/policies.ts";
import { mintUnsealToken } from "../../services/shared/vault/tokens.ts";
import { createUnsealKey, unsealKeyName } from "../../services/shared/vault/transit.ts";
import { PURPOSES } from "../../services/shared/work/kinds.ts";
import { type InternalVault, startInternalVault } from "../harness/vault.ts";
import { mutantsOf } from "./policy-mutants.ts";

/**
 * Each login at the internal Vault × each key × each way to use it, tried at a real Vault and compared with a golden
 * file. To accept a change, read it and run vitest with `-u`.
 */

let internal: InternalVault;
let tokens: Record<string, Secret>;
let keys: Key[];
beforeAll(async () => {
  internal = await startInternalVault(inject("vaultBinary"));
  const { root, controlPlane, endpoint, logins } = internal;
  const org = newOrgId();
  await createUnsealKey(controlPlane, org);
  const services = CREDENTIAL_LOGINS.map(
    async (name) => [name, await appRoleLogin(endpoint, logins[name]).token()] as const,
  );
  tokens = {
    ...Object.fromEntries(await Promise.all(services)),
    "control-plane": await appRoleLogin(endpoint, internal).token(),
    operator: await tokenWith("operator"),
    unseal: (await mintUnsealToken(controlPlane, org)).token,
  };
  keys = [
    ...PURPOSES.map((name) => ({ label: `credential-keys/${name}`, mount: "credential-keys", name })),
    { label: "transit/{an organization's}", mount: "transit", name: unsealKeyName(org) },
    ...SIGNING_KEYS.map((name) => ({ label: `transit/${name}`, mount: "transit", name })),
  ];
  for (const { mount, name } of keys) {
    if (SIGNING_KEYS.includes(name)) continue;
    const body = { context: CONTEXT, plaintext: Buffer.from("a data key").toString("base64") };
    const { data } = await root.write(`${mount}/encrypt/${name}`, body);
    ciphertexts.set(`${mount}/${name}`, (data as { ciphertext: string }).ciphertext);
  }
});
afterAll(() => internal?.stop());

/** A token with one policy alone. */
async function tokenWith(policy: string): Promise<Secret> {
  const body = { policies: [policy], no_default_policy: true };
  const { auth } = await internal.root.write("auth/token/create", body);
  return new Secret((auth as { client_token: string }).client_token);
}

interface Key {
  label: string;
  mount: string;
  name: string;
}

const SIGNING_KEYS = ["directory", "receipts"];
const base64 = (text: string) => Buffer.from(text).toString("base64");
const CONTEXT = base64('{"org":"oaaaaaaaaaaaaaaa"}');
const OTHER = base64('{"org":"obbbbbbbbbbbbbbb"}');
const JOSE = {
  input: base64("x"),
  ...{ hash_algorithm: "sha2-256", marshaling_algorithm: "jws", prehashed: false },
};
const ciphertexts = new Map<string, string>();

type Attempt = [method: string, path: string, body?: object];

/** Each way to use a key, by what it is. What would disable the key comes last. */
function attempts({ mount, name }: Key): Record<string, Attempt> {
  const ciphertext = ciphertexts.get(`${mount}/${name}`) ?? "vault:v1:AAAA";
  const open = { ciphertext, context: CONTEXT };
  const input = { input: base64("x"), context: CONTEXT };
  const ways = ["decrypt", "datakey/plaintext", "encrypt", "keys", "sign"];
  const otherMethods = ways.flatMap((way): [string, Attempt][] => [
    [`GET ${way}`, ["GET", `${way}/${name}`]],
    [`LIST ${way}`, ["GET", `${way}/${name}?list=true`]],
    [`DELETE ${way}`, ["DELETE", `${way}/${name}`]],
    [`PATCH ${way}`, ["PATCH", `${way}/${name}`, {}]],
  ]);
  // Each could mean `decrypt/<key>` or the key's export to what takes the path apart.
  const spelled = [
    `datakey/plaintext/../../decrypt/${name}`,
    `datakey/plaintext/%2e%2e/%2e%2e/decrypt/${name}`,
    `datakey/plaintext%2F..%2F..%2Fdecrypt/${name}`,
    `decrypt//${name}`,
    `decrypt/%2F${name}`,
    `decrypt/./${name}`,
    `decrypt/%2e/${name}`,
    `decrypt%2F${name}`,
    `decrypt/${name}/`,
    `decrypt/${name}%2F`,
    `decrypt/${name}/x/%2e%2e`,
    `decrypt/%${name.charCodeAt(0).toString(16)}${name.slice(1)}x`,
    `decrypt/${name.toUpperCase()}`,
    `DECRYPT/${name}`,
    `/decrypt/${name}`,
  ];
  const all: Record<string, Attempt> = {
    "make a data key": ["POST", `datakey/plaintext/${name}`, { context: CONTEXT }],
    "make a data key by PUT": ["PUT", `datakey/plaintext/${name}`, { context: CONTEXT }],
    "make a data key of another size": ["POST", `datakey/plaintext/${name}`, { context: CONTEXT, bits: 128 }],
    "make a data key without its plaintext": ["POST", `datakey/wrapped/${name}`, { context: CONTEXT }],
    "make one of a key of a longer name": ["POST", `datakey/plaintext/${name}-other`, { context: CONTEXT }],
    "make one at a path that is none": ["POST", `other/plaintext/${name}`, { context: CONTEXT }],
    "open by a key of a longer name": ["POST", `decrypt/${name}-other`, open],
    "open with its context": ["POST", `decrypt/${name}`, open],
    "open with another context": ["POST", `decrypt/${name}`, { ciphertext, context: OTHER }],
    "open without a context": ["POST", `decrypt/${name}`, { ciphertext }],
    "open in a batch": ["POST", `decrypt/${name}`, { batch_input: [open] }],
    "open with a name in capitals": ["POST", `decrypt/${name}`, { ...open, Batch_Input: [open] }],
    encrypt: ["POST", `encrypt/${name}`, { plaintext: base64("x"), context: CONTEXT }],
    rewrap: ["POST", `rewrap/${name}`, open],
    hmac: ["POST", `hmac/${name}`, input],
    sign: ["POST", `sign/${name}`, input],
    "sign for JOSE": ["POST", `sign/${name}`, JOSE],
    "verify for JOSE": ["POST", `verify/${name}`, JOSE],
    "see a key of a longer name": ["GET", `keys/${name}-other`],
    "sign by another hash": ["POST", `sign/${name}/sha2-512`, JOSE],
    "sign a batch": ["POST", `sign/${name}`, { ...JOSE, batch_input: [{ input: base64("x") }] }],
    verify: ["POST", `verify/${name}`, { ...input, hmac: "vault:v1:AAAA" }],
    cmac: ["POST", `cmac/${name}`, input],
    "list the keys": ["GET", "keys?list=true"],
    "create another key": ["POST", `keys/${name}-other`, { type: "aes256-gcm96", exportable: true }],
    "create it again, exportable": ["POST", `keys/${name}`, { exportable: true }],
    "import a version": ["POST", `keys/${name}/import_version`, { ciphertext: "AAAA" }],
    export: ["GET", `export/encryption-key/${name}`],
    "export a version": ["GET", `export/encryption-key/${name}/1`],
    "export for another Vault": ["GET", `byok-export/${name}/${name}`],
    backup: ["GET", `backup/${name}`],
    restore: ["POST", "restore", { backup: "AAAA" }],
    random: ["POST", "random/32", {}],
    "make it exportable": ["POST", `keys/${name}/config`, { exportable: true }],
    "allow its deletion": ["POST", `keys/${name}/config`, { deletion_allowed: false }],
    "retire old versions": ["POST", `keys/${name}/config`, { min_decryption_version: 1 }],
    trim: ["POST", `keys/${name}/trim`, { min_available_version: 1 }],
    "configure the mount": ["GET", "config/keys"],
    "make a signing CSR": ["POST", `keys/${name}/csr`, {}],
    rotate: ["POST", `keys/${name}/rotate`, {}],
    ...Object.fromEntries(otherMethods),
    ...Object.fromEntries(
      spelled.map((path) => [`open as ${path.replaceAll(name, "{key}")}`, ["POST", path, open]]),
    ),
    "delete softly": ["POST", `keys/${name}/soft-delete`, {}],
  };
  const at = ([method, path, ...body]: Attempt): Attempt => [method, `${mount}/${path}`, ...body];
  return Object.fromEntries(Object.entries(all).map(([what, attempt]) => [what, at(attempt)]));
}

/** What the Vault answers to a request whose path goes over the wire as it is. */
function statusOf(token: Secret, [method, path, body]: Attempt): Promise<number> {
  const { hostname, port } = new URL(internal.endpoint.address);
  const headers = {
    "X-Vault-Token": token.reveal(),
    ...(body && { "Content-Type": method === "PATCH" ? "application/merge-patch+json" : "application/json" }),
  };
  return new Promise((resolve, reject) => {
    request({ hostname, port, method, path: `/v1/${path}`, headers }, (answer) => {
      answer.resume().once("end", () => resolve(answer.statusCode ?? 0));
    })
      .once("error", reject)
      .end(body && JSON.stringify(body));
  });
}

type Answers = Record<string, number>;
/** By key. */
type Rows = Record<string, Answers>;

async function answers(token: Secret, key: Key): Promise<Answers> {
  const seen: Answers = {};
  for (const [what, attempt] of Object.entries(attempts(key))) seen[what] = await statusOf(token, attempt);
  return seen;
}

/** The answers to a token that differ from those to a token without rights. */
async function rowsOf(token: Secret): Promise<Rows> {
  const rows: Rows = {};
  for (const key of keys) {
    const granted = Object.entries(await answers(token, key)).filter(
      ([what, status]) => status !== withoutRights[key.label]?.[what],
    );
    rows[key.label] = Object.fromEntries(granted);
  }
  return rows;
}

const isSuccess = (status: number | undefined) => status === 200 || status === 204;

let withoutRights: Rows;
let matrix: Record<string, Rows>;
beforeAll(async () => {
  await writePolicy(internal.root, "nothing", "# No rights.");
  const nobody = await tokenWith("nothing");
  withoutRights = {};
  for (const key of keys) withoutRights[key.label] = await answers(nobody, key);
  matrix = {};
  for (const [who, token] of Object.entries(tokens)) matrix[who] = await rowsOf(token);
});

test("a token without rights gets nothing from any key", () => {
  for (const [key, seen] of Object.entries(withoutRights)) {
    expect(Object.values(seen).filter(isSuccess), key).toEqual([]);
    // A path that is not canonical is redirected or refused before any policy.
    expect([...new Set(Object.values(seen))].sort(), key).toEqual([307, 400, 403]);
  }
});

test("every login × every key × every way to use it is as accepted", async () => {
  const seen = { withoutRights: withoutRights["credential-keys/integration"], granted: matrix };
  await expect(`${JSON.stringify(seen, null, 2)}\n`).toMatchFileSnapshot(
    new URL("who-may-decrypt.golden.json", import.meta.url).pathname,
  );
});

test("whatever the golden file says: the intake opens nothing, and each worker opens with its own key alone", () => {
  const opening = (who: string) =>
    Object.entries(matrix[who] ?? {}).flatMap(([key, seen]) =>
      Object.entries(seen)
        .filter(([what, status]) => isSuccess(status) && !/^make a data key( by PUT)?$/.test(what))
        .map(([what]) => `${key}: ${what}`),
    );
  expect(opening("intake")).toEqual(SIGNS);
  for (const kind of PURPOSES) {
    const own = `credential-keys/${kind}`;
    expect(opening(`worker-${kind}`)).toEqual([
      `${own}: open with its context`,
      // Another spelling of the same path.
      `${own}: open as decrypt%2F{key}`,
    ]);
  }
  for (const who of ["control-plane", "operator", "unseal"]) {
    for (const kind of PURPOSES) expect(matrix[who]?.[`credential-keys/${kind}`], who).toEqual({});
  }
});

/** What the intake may do with the key of receipts: see its public keys, and sign. */
const SIGNS = ["transit/receipts: sign for JOSE", "transit/receipts: GET keys"];

test("keys are as they were made", async () => {
  for (const kind of PURPOSES) {
    expect((await internal.root.read(`credential-keys/keys/${kind}`)).data).toMatchObject({
      latest_version: 1,
      derived: true,
      exportable: false,
      allow_plaintext_backup: false,
      deletion_allowed: false,
    });
  }
});

describe("a policy that is loosened in one place changes the matrix", () => {
  for (const name of CREDENTIAL_LOGINS) {
    const mutants = mutantsOf(policyText(name)).map(({ what, policy }) => [what, policy] as const);
    test.each(mutants)(`${name}: %s`, async (_, policy) => {
      await writePolicy(internal.root, "tried", policy);
      const token = await tokenWith("tried");
      try {
        expect(await rowsOf(token)).not.toEqual(matrix[name]);
      } finally {
        for (const { mount, name } of keys) {
          await internal.root.write(`${mount}/keys/${name}/soft-delete-restore`).catch(() => {});
        }
      }
    });
  }

  test("and the policy as it is does not", async () => {
    for (const name of CREDENTIAL_LOGINS) {
      await writePolicy(internal.root, "tried", policyText(name));
      expect(await rowsOf(await tokenWith("tried"))).toEqual(matrix[name]);
    }
  });
});

/** What hostile code with the intake's login asks the internal Vault with. */
export interface Loot {
  /** A stored credential's encrypted data key, as Vault wrote it, and the context that it was made with; base64. */
  ciphertext: string;
  context: string;
  /** What the thief may know of others: names are in the documentation, role ids are no secrets. */
  workerRoleId: string;
  intakeRoleId: string;
  secretId: string;
  /** The accessor of its own token. */
  accessor: string;
}

/** A request to the internal Vault that must not succeed. */
export interface VaultRequest {
  way: string;
  method: string;
  /** Below `/v1/`, sent as it is written. */
  path: string;
  body?: object;
  headers?: Record<string, string>;
  /** Without the token: Vault lets nobody in by it, or anyone. */
  anonymous?: true;
  /** Vault may say 400 before it looks whether the request is allowed, or because there is nothing to allow. */
  mayBeMalformed?: true;
}

const MOUNT = "credential-keys";
const MERGE_PATCH = { "Content-Type": "application/merge-patch+json" };

/** Every way to a key's plaintext: all of transit's operations, and spellings of the one that decrypts. */
const throughTransit = ({ ciphertext, context }: Loot): VaultRequest[] => {
  const body = { ciphertext, context };
  const batch = { batch_input: [body] };
  const post = (way: string, path: string, more: object = body): VaultRequest => ({
    ...{ way, method: "POST", path: `${MOUNT}/${path}`, body: more },
  });
  const get = (way: string, path: string): VaultRequest => ({ way, method: "GET", path: `${MOUNT}/${path}` });
  const key = "integration";
  return [
    post("decrypt", `decrypt/${key}`),
    post("decrypt in a batch", `decrypt/${key}`, batch),
    { ...post("decrypt by PUT", `decrypt/${key}`), method: "PUT" },
    { ...post("decrypt by PATCH", `decrypt/${key}`), method: "PATCH", headers: MERGE_PATCH },
    get("decrypt by GET, all in the query", `decrypt/${key}?ciphertext=${ciphertext}&context=${context}`),
    {
      ...post("decrypt, said to be a datakey", `datakey/plaintext/${key}`),
      headers: { "X-HTTP-Method-Override": "POST", "X-Original-URL": `/v1/${MOUNT}/decrypt/${key}` },
    },
    post("decrypt at an upper-case path", `DECRYPT/${key}`),
    post("decrypt with an empty segment", `decrypt//${key}`),
    post("decrypt with an empty segment before it", `/decrypt/${key}`),
    post("decrypt with a slash at the end", `decrypt/${key}/`),
    post("decrypt with an encoded slash", `decrypt%2F${key}`),
    post("decrypt with an encoded letter", `%64ecrypt/${key}`),
    post("decrypt by dot segments", `datakey/plaintext/../../decrypt/${key}`),
    post("decrypt by encoded dot segments", `datakey/plaintext/%2e%2e/%2e%2e/decrypt/${key}`),
    post("decrypt by encoded slashes and dots", `datakey/plaintext/${key}%2F..%2F..%2F..%2Fdecrypt%2F${key}`),
    post("decrypt behind a NUL", `decrypt/${key}%00`),
    post("rewrap", `rewrap/${key}`),
    post("rewrap in a batch", `rewrap/${key}`, batch),
    post("encrypt with a chosen nonce", `encrypt/${key}`, {
      ...{ plaintext: "AAAA", context, nonce: "AAAAAAAAAAAAAAAA" },
    }),
    post("datakey in a batch with a ciphertext", `datakey/plaintext/${key}`, batch),
    post("datakey with a ciphertext to open", `datakey/plaintext/${key}`),
    post("datakey with a chosen nonce", `datakey/plaintext/${key}`, { context, nonce: "AAAAAAAAAAAAAAAA" }),
    post("datakey of 128 bits", `datakey/plaintext/${key}`, { context, bits: 128 }),
    post("datakey of an older key version", `datakey/plaintext/${key}`, { context, key_version: 1 }),
    post("datakey of 0 bits, in another spelling", `datakey/plaintext/${key}`, { context, Bits: 0 }),
    post("datakey wrapped", `datakey/wrapped/${key}`, { context }),
    post("datakey of a key that it would make", "datakey/plaintext/mine", { context }),
    post("datakey without a context", `datakey/plaintext/${key}`, {}),
    get("export the key", `export/encryption-key/${key}`),
    get("export the key's version", `export/encryption-key/${key}/1`),
    get("export its HMAC key", `export/hmac-key/${key}`),
    get("export its public key", `export/public-key/${key}`),
    get("export to a key of its own", `byok-export/mine/${key}`),
    get("back the key up", `backup/${key}`),
    post("restore a key", "restore/mine", { backup: "AAAA" }),
    post("restore over the key", `restore/${key}`, { backup: "AAAA", force: true }),
    get("read the key's settings", `keys/${key}`),
    { ...get("list the keys", "keys"), method: "LIST" },
    get("list the keys by GET", "keys?list=true"),
    post("make the key exportable", `keys/${key}/config`, {
      ...{ exportable: true, allow_plaintext_backup: true },
    }),
    post("allow the key's deletion", `keys/${key}/config`, { deletion_allowed: true }),
    post("lower what may be decrypted", `keys/${key}/config`, { min_decryption_version: 1 }),
    { ...get("delete the key", `keys/${key}`), method: "DELETE" },
    post("delete the key softly", `keys/${key}/soft-delete`, {}),
    post("make the key anew", `keys/${key}`, { exportable: true, derived: false }),
    post("make a key of its own", "keys/mine", { exportable: true }),
    post("import a key of its own", "keys/mine/import", { ciphertext: "AAAA", allow_rotation: true }),
    post("import a version of the key", `keys/${key}/import_version`, { ciphertext: "AAAA" }),
    post("rotate the key", `keys/${key}/rotate`, {}),
    post("trim the key", `keys/${key}/trim`, { min_available_version: 1 }),
    post("convergent by the mount's settings", "config/keys", { disable_upsert: false }),
    post("change the mount's cache", "cache-config", { size: 0 }),
    get("read the wrapping key", "wrapping_key"),
    post("HMAC by the key", `hmac/${key}`, { input: "AAAA", context }),
    post("sign by the key", `sign/${key}`, { input: "AAAA", context }),
    post("CMAC by the key", `cmac/${key}`, { input: "AAAA", context }),
    post("verify by the key", `verify/${key}`, { input: "AAAA", context, hmac: "vault:v1:AAAA" }),
    post("random bytes by the mount", "random/32", {}),
    post("hash by the mount", "hash/sha2-256", { input: "AAAA" }),
    ...["decrypt", "rewrap", "export/encryption-key"].map((operation) =>
      post(`${operation} by the webhooks' key`, `${operation}/webhook`),
    ),
    { ...post("decrypt at the mount of unseal keys", ""), path: `transit/decrypt/${key}` },
    { ...post("decrypt in another namespace", `decrypt/${key}`), headers: { "X-Vault-Namespace": "root" } },
    {
      ...post("decrypt, the answer wrapped", `decrypt/${key}`),
      headers: { "X-Vault-Wrap-TTL": "60s" },
    },
    {
      ...post("decrypt with policies overridden", `decrypt/${key}`),
      headers: { "X-Vault-Policy-Override": "true" },
    },
    {
      ...post("decrypt with a login in the request", `decrypt/${key}`),
      headers: { "X-Vault-Inline-Auth-Path": "auth/approle/login" },
    },
  ];
};

/** Every way to another's rights: tokens, roles, policies, entities, mounts, and the Vault itself. */
const throughRights = ({ workerRoleId, intakeRoleId, secretId, accessor }: Loot): VaultRequest[] => {
  const ask = (way: string, method: string, path: string, body?: object): VaultRequest => ({
    ...{ way, method, path },
    ...(body && { body }),
  });
  const post = (way: string, path: string, body: object = {}) => ask(way, "POST", path, body);
  const worker = "worker-integration";
  const all = { policy: 'path "*" { capabilities = ["sudo", "update", "read"] }' };
  return [
    post("mint a token", "auth/token/create", { policies: [worker] }),
    post("mint a root token", "auth/token/create", { policies: ["root"] }),
    post("mint an orphan", "auth/token/create-orphan", { policies: [worker] }),
    post("mint by the unseal tokens' role", "auth/token/create/unseal", { entity_alias: "org-*" }),
    post("make a token role", "auth/token/roles/mine", { allowed_policies: [worker] }),
    post("renew by accessor", "auth/token/renew-accessor", { accessor }),
    post("look a token up by accessor", "auth/token/lookup-accessor", { accessor }),
    ask("list the tokens", "LIST", "auth/token/accessors"),
    post("change its own role", "auth/approle/role/intake", { token_policies: ["intake", worker] }),
    post("change its role's policies", "auth/approle/role/intake/policies", { token_policies: [worker] }),
    post("have a secret id of the worker's", `auth/approle/role/${worker}/secret-id`),
    post("set a secret id of the worker's", `auth/approle/role/${worker}/custom-secret-id`, {
      secret_id: secretId,
    }),
    ask("read the worker's role id", "GET", `auth/approle/role/${worker}/role-id`),
    post("set its role id to the worker's", "auth/approle/role/intake/role-id", { role_id: workerRoleId }),
    {
      ...post("log in as the worker with its own secret id", "auth/approle/login", {
        ...{ role_id: workerRoleId, secret_id: secretId },
      }),
      anonymous: true,
    },
    {
      ...post("log in as the worker without a secret id", "auth/approle/login", { role_id: workerRoleId }),
      anonymous: true,
    },
    {
      ...post("log in with another role's name", "auth/approle/login", {
        ...{ role_id: worker, secret_id: secretId, role_name: worker },
      }),
      anonymous: true,
    },
    { ...post("log in by certificate", "auth/cert/login", { name: "platform-maintain" }), anonymous: true },
    post("write its policy", "sys/policies/acl/intake", all),
    post("write its policy by the old path", "sys/policy/intake", all),
    post("write a policy", "sys/policies/acl/mine", all),
    ask("read the worker's policy", "GET", `sys/policies/acl/${worker}`),
    post("make an entity", "identity/entity", { name: "mine", policies: [worker] }),
    post("make an alias", "identity/entity-alias", { name: intakeRoleId, canonical_id: "x" }),
    post("make a group", "identity/group", { name: "mine", policies: [worker] }),
    post("merge entities", "identity/entity/merge", { from_entity_ids: ["a"], to_entity_id: "b" }),
    post("look an entity up", "identity/lookup/entity", { name: "intake" }),
    ask("have an identity token", "GET", "identity/oidc/token/mine"),
    post("mount an engine", "sys/mounts/mine", { type: "transit" }),
    post("move the mount", "sys/remount", { from: MOUNT, to: "mine" }),
    post("tune the mount", `sys/mounts/${MOUNT}/tune`, { audit_non_hmac_request_keys: ["ciphertext"] }),
    ask("unmount", "DELETE", `sys/mounts/${MOUNT}`),
    post("enable an auth method", "sys/auth/mine", { type: "userpass" }),
    post("enable an audit device", "sys/audit/mine", {
      type: "file",
      options: { file_path: "/tmp/strongroom-none", log_raw: "true" },
    }),
    ask("disable the audit device", "DELETE", "sys/audit/file"),
    post("hash as the audit log does", "sys/audit-hash/file", { input: "AAAA" }),
    ask("take a snapshot", "GET", "sys/storage/raft/snapshot"),
    ask("read the storage", "GET", "sys/raw/core/keyring"),
    post("rotate the keyring", "sys/rotate"),
    ask("seal", "PUT", "sys/seal"),
    ask("step down", "PUT", "sys/step-down"),
    post("reload a plugin", "sys/plugins/reload/backend", { plugin: "transit" }),
    post("register a plugin", "sys/plugins/catalog/secret/mine", { sha256: "00", command: "sh" }),
    post("wrap", "sys/wrapping/wrap", { a: "b" }),
    post("unwrap another's token", "sys/wrapping/unwrap", { token: accessor }),
    post("revoke a lease", "sys/leases/revoke", { lease_id: "auth/approle/login/x" }),
    post("ask for capabilities", "sys/capabilities", { paths: [`${MOUNT}/decrypt/integration`] }),
    ask("read the request counters", "GET", "sys/internal/counters/activity"),
    post("change CORS", "sys/config/cors", { allowed_origins: "*" }),
    post("audit a header in clear", "sys/config/auditing/request-headers/X-Vault-Token", { hmac: false }),
    post("change the quota", "sys/quotas/rate-limit/mine", { rate: 1 }),
    ask("read a profile of the memory", "GET", "sys/pprof/heap"),
    ask("watch the log", "GET", "sys/monitor?log_level=trace"),
    ask("keep something", "POST", "cubbyhole/mine", { a: "b" }),
    ask("read the registry", "GET", "registry/data/directory"),
    ask("list the root tokens", "LIST", "root-tokens"),
    ask("read the owners", "LIST", "owners/metadata"),
    post("sign a directory", "transit/sign/directory", { input: "AAAA" }),
    post("sign a certificate", "pki/sign/org-vault", { common_name: "x.org.strongroom.internal", csr: "x" }),
    post("open an unseal key", "transit/decrypt/org-x", { ciphertext: "vault:v1:AAAA" }),
    post("give a wrong unseal share", "sys/generate-root/update", { key: "AAAA", nonce: "x" }),
  ];
};

/** More than a hundred requests to the internal Vault, none of which may open or change anything. */
export const vaultRequests = (loot: Loot): VaultRequest[] =>
  [...throughTransit(loot), ...throughRights(loot)].map((asked) => ({
    ...asked,
    ...(MALFORMED.test(asked.way) && { mayBeMalformed: true as const }),
  }));

/** Logins and tokens that are not valid, parameters that are missing, and paths that Vault does not take. */
const MALFORMED =
  /^(log in|unwrap another|give a wrong|datakey without a context)|segment|slash|encoded|behind a NUL/;

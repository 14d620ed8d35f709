/** What an application does with hashi-vault-js, unmodified, at VAULT_ADDR with a JWT as VAULT_TOKEN. */

import Vault from "hashi-vault-js";

const { VAULT_ADDR, VAULT_TOKEN: jwt, READER_TOKEN: reader } = process.env;
const vault = new Vault({ baseUrl: `${VAULT_ADDR}/v1`, timeout: 30_000 });
const odd = "hashi-vault-js/ordner ü/it's a (b)!";
const refusal = (promise) =>
  promise.then(
    () => undefined,
    (error) => ({ status: error.response?.status, errors: error.response?.data.errors }),
  );
const seen = {};

// It has no login by JWT of its own; Kubernetes' is the same request to another mount.
const login = await vault.loginWithK8s("writer", jwt, "auth/jwt");
seen.echoed = login.client_token === jwt;
seen.written = (await vault.createKVSecret(jwt, "hashi-vault-js/db", { user: "app" }, "secret")).version;
seen.updated = (await vault.updateKVSecret(jwt, "hashi-vault-js/db", { user: "b" }, 1, "secret")).version;
seen.read = (await vault.readKVSecret(jwt, "hashi-vault-js/db", undefined, "secret")).data;
seen.version = (await vault.readKVSecret(jwt, "hashi-vault-js/db", 1, "secret")).data;
await vault.createKVSecret(jwt, odd, { n: 1 }, "secret");
seen.odd = (await vault.readKVSecret(jwt, odd, undefined, "secret")).data;
seen.listed = (await vault.listKVSecrets(jwt, "hashi-vault-js", "secret")).keys;
seen.below = (await vault.listKVSecrets(jwt, "hashi-vault-js/ordner ü/", "secret")).keys;
await vault.deleteLatestVerKVSecret(jwt, "hashi-vault-js/db", "secret");
seen.deleted = await refusal(vault.readKVSecret(jwt, "hashi-vault-js/db", undefined, "secret"));
await vault.undeleteVersionsKVSecret(jwt, "hashi-vault-js/db", [2], "secret");
seen.undeleted = (await vault.readKVSecret(jwt, "hashi-vault-js/db", undefined, "secret")).data;
seen.metadata = (await vault.readKVSecretMeta(jwt, "hashi-vault-js/db", "secret")).current_version;
seen.missing = await refusal(vault.readKVSecret(jwt, "hashi-vault-js/none", undefined, "secret"));
seen.forbidden = await refusal(vault.createKVSecret(reader, "hashi-vault-js/x", { n: 1 }, "secret"));
seen.sealed = (await vault.sealStatus()).sealed;
seen.healthy = (await vault.healthCheck({})).initialized;
seen.lookup = (await vault.lookupSelfToken(jwt)).policies;
seen.renewable = (await vault.renewSelfToken(jwt, "60s")).renewable;
await vault.revokeSelfToken(jwt);
seen.revoked = await refusal(vault.readKVSecret(jwt, odd, undefined, "secret"));

process.stdout.write(JSON.stringify(seen));

/** What an application does with @litehex/node-vault, unmodified, at VAULT_ADDR with a JWT as VAULT_TOKEN. */

import { Client } from "@litehex/node-vault";

const { VAULT_ADDR: endpoint, VAULT_TOKEN: token, READER_TOKEN } = process.env;
const vault = new Client({ endpoint, token });
const reader = new Client({ endpoint, token: READER_TOKEN });
const db = { mountPath: "secret", path: "litehex/db" };
const odd = { mountPath: "secret", path: "litehex/ordner ü/a (b)!" };
/** The data of an answer, or of its error the words. */
const answer = async (promise) => {
  const { data, error } = await promise;
  return error ? { error: error.message, status: error.cause?.status } : data;
};
const seen = {};

seen.written = (await answer(vault.kv2.write({ ...db, data: { user: "app" } }))).data.version;
seen.read = (await answer(vault.kv2.read(db))).data.data;
await vault.kv2.patch({ ...db, data: { user: "other" } });
seen.patched = (await answer(vault.kv2.read(db))).data.data;
await vault.kv2.write({ ...odd, data: { n: "1" } });
seen.odd = (await answer(vault.kv2.read(odd))).data.data;
seen.listed = (await answer(vault.kv2.list({ mountPath: "secret", path: "litehex" }))).data.keys;
seen.below = (await answer(vault.kv2.list({ mountPath: "secret", path: "litehex/ordner ü" }))).data.keys;
seen.deleting = await answer(vault.kv2.deleteLatest(db));
seen.undeleting = await answer(vault.kv2.undelete({ ...db, versions: [2] }));
seen.metadata = (await answer(vault.kv2.readMetadata(db))).data.current_version;
seen.missing = await answer(vault.kv2.read({ ...db, path: "litehex/none" }));
// It asks for `litehex/db&?version=1`: a secret of another name, which is not there.
seen.version = await answer(vault.kv2.read({ ...db, version: 1 }));
seen.forbidden = await answer(reader.kv2.write({ ...db, data: { user: "x" } }));
seen.sealed = (await answer(vault.sealStatus())).sealed;
seen.engine = await answer(vault.engineInfo({ mountPath: "secret" }));

process.stdout.write(JSON.stringify(seen));

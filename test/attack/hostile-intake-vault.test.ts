import { request } from "node:http";
import { expect } from "vitest";
import { canonicalContext, type EncryptionContext } from "../../services/shared/envelope/context.ts";
import type { KeyProvider } from "../../services/shared/envelope/key-provider.ts";
import { newOrgId } from "../../services/shared/org.ts";
import { Secret } from "../../services/shared/secret.ts";
import { appRoleLogin } from "../../services/shared/vault/approle.ts";
import { type VaultBody, type VaultClient, vaultClient } from "../../services/shared/vault/client.ts";
import { startCorpus } from "../harness/corpus.ts";
import { keysOf } from "../harness/credential-jobs.ts";
import { test } from "../harness/fixtures.ts";
import type { InternalVault } from "../harness/vault.ts";
import { type Loot, type VaultRequest, vaultRequests } from "./corpus/hostile-intake/vault-requests.ts";

/*
 * Hostile code in the intake's place, with its real login at a real internal Vault. It has a credential's encrypted data
 * key and its context, as they are in the store, and may make data keys. It must get no key opened, and no more rights.
 */

const corpus = startCorpus("taken-over intake at the internal Vault");

const context: EncryptionContext = {
  ...{ org: newOrgId(), credential: "stripe", version: "1", purpose: "integration", policy: "A".repeat(43) },
};
const contextText = Buffer.from(canonicalContext(context)).toString("base64");

let internal: InternalVault;
let token: string;
let loot: Loot;
/** The data key that the thief wants, base64. */
let wanted: string;
let workerKeys: KeyProvider;
let before: unknown;
test.beforeAll(async ({ internal: vault }) => {
  internal = vault;
  const { intake, "worker-integration": worker } = internal.logins;
  token = (await appRoleLogin(internal.endpoint, intake).token()).reveal();
  workerKeys = keysOf(internal, "worker-integration", "integration");
  const made = await keysOf(internal, "intake", "integration").makeDataKey(context);
  wanted = Buffer.from(made.plaintext).toString("base64");
  const self = (await as(token).read("auth/token/lookup-self")) as { data: { accessor: string } };
  loot = {
    ciphertext: Buffer.from(made.encrypted).toString(),
    context: contextText,
    workerRoleId: worker.roleId.reveal(),
    intakeRoleId: intake.roleId.reveal(),
    secretId: intake.secretId.reveal(),
    accessor: self.data.accessor,
  };
  // Logs in, which makes the worker's entity.
  await workerKeys.openDataKey(context, made.encrypted);
  before = await state(internal.root);
});

const as = (held: string): VaultClient => vaultClient(internal.endpoint, () => new Secret(held));

/** What a thief would change to get further. */
async function state(root: VaultClient): Promise<unknown> {
  const read = (path: string) => root.read(path).then(({ data }) => data);
  return {
    keys: await Promise.all(["integration", "webhook"].map((key) => read(`credential-keys/keys/${key}`))),
    roles: await Promise.all(
      ["intake", "worker-integration", "worker-webhook"].map((role) => read(`auth/approle/role/${role}`)),
    ),
    policies: await Promise.all(
      ["intake", "worker-integration", "worker-webhook"].map((name) => read(`sys/policies/acl/${name}`)),
    ),
    names: await Promise.all(
      ["sys/policies/acl", "credential-keys/keys", "auth/approle/role", "auth/token/roles"].map((path) =>
        root.list(path).then(({ data }) => (data as { keys: string[] }).keys),
      ),
    ),
    mounts: Object.keys((await read("sys/mounts")) as VaultBody),
    auth: Object.keys((await read("sys/auth")) as VaultBody),
    audit: await read("sys/audit"),
    entities: await root.list("identity/entity/id").then(
      ({ data }) => (data as { keys: string[] }).keys,
      () => [],
    ),
  };
}

interface Reply {
  status: number;
  text: string;
  location: string | undefined;
}

/** Sends the path as it is written, which clients of HTTP would clean. */
function send({ method, path, body, headers, anonymous }: VaultRequest): Promise<Reply> {
  const { hostname, port } = new URL(internal.endpoint.address);
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        ...{ hostname, port, method, path: `/v1/${path}`, agent: false },
        headers: {
          "Content-Type": "application/json",
          ...(!anonymous && { "X-Vault-Token": token }),
          ...headers,
        },
      },
      (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, text, location: response.headers.location }),
        );
      },
    );
    sent.on("error", reject).end(body && JSON.stringify(body));
  });
}

/** As a client does that follows where it is sent, with the same method and body. */
async function sendAndFollow(asked: VaultRequest): Promise<Reply> {
  const reply = await send(asked);
  if (!reply.location || reply.status < 300 || reply.status > 399) return reply;
  const { pathname, search } = new URL(reply.location, internal.endpoint.address);
  return send({ ...asked, path: `${pathname}${search}`.replace(/^\/v1\//, "") });
}

test("the thief can do what the intake may, and a worker opens what the thief cannot", async () => {
  const datakey = `credential-keys/datakey/plaintext/integration`;
  const made = await send({ way: "", method: "POST", path: datakey, body: { context: contextText } });
  expect(made.status).toBe(200);
  expect(made.text).not.toContain(wanted);
  const opened = await workerKeys.openDataKey(context, Buffer.from(loot.ciphertext));
  expect(Buffer.from(opened).toString("base64")).toBe(wanted);
});

const NONE: Loot = {
  ...{ ciphertext: "", context: "", workerRoleId: "", intakeRoleId: "", secretId: "", accessor: "" },
};
const ways = vaultRequests(NONE).map(({ way }, index) => [index + 1, way] as const);

test.each(ways)("way %i: %s", async (number, way) => {
  const asked = vaultRequests(loot)[number - 1];
  if (asked?.way !== way) throw new Error("the corpus is not the same each time");
  const { status, text } = await sendAndFollow(asked);
  corpus.count(way, { accepted: status < 400, forwarded: text.includes(wanted) });
  expect(asked.mayBeMalformed ? [400, 403] : [403], text).toContain(status);
  expect(text).not.toContain(wanted);
  expect(text).not.toMatch(/"(plaintext|client_token|secret_id|backup|keys)":"?[^"]/);
});

test("afterwards nothing is changed, and the credential opens as before", async () => {
  expect(await state(internal.root)).toEqual(before);
  const opened = await workerKeys.openDataKey(context, Buffer.from(loot.ciphertext));
  expect(Buffer.from(opened).toString("base64")).toBe(wanted);
  expect(corpus).toMatchObject({ tried: ways.length, accepted: [], forwarded: [] });
  expect(ways.length).toBeGreaterThan(100);
});

test("a wrapped answer of what it may do shows a new key and no other", async () => {
  const datakey = { way: "", method: "POST", path: "credential-keys/datakey/plaintext/integration" };
  const made = await send({
    ...{ ...datakey, body: { context: contextText }, headers: { "X-Vault-Wrap-TTL": "60s" } },
  });
  const { wrap_info } = JSON.parse(made.text) as { wrap_info: { token: string } };
  const unwrapped = await as(wrap_info.token).write("sys/wrapping/unwrap");
  expect(unwrapped).toMatchObject({ data: { ciphertext: expect.stringMatching(/^vault:v1:/) } });
  expect(JSON.stringify(unwrapped)).not.toContain(wanted);
});

import { Value } from "typebox/value";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { brokerPolicyHash } from "../../services/shared/broker/policy.ts";
import { canonicalContext } from "../../services/shared/envelope/context.ts";
import { seal } from "../../services/shared/envelope/envelope.ts";
import { Entry } from "../../services/shared/receipts/receipt.ts";
import { appRoleLogin } from "../../services/shared/vault/approle.ts";
import { startCorpus } from "../harness/corpus.ts";
import { keysOf } from "../harness/credential-jobs.ts";
import { exported } from "../harness/receipts.ts";
import { type InternalVault, startInternalVault } from "../harness/vault.ts";
import { type BrokerStage, brokerPolicy, startBrokerStage } from "../intake/broker/stage.ts";
import { lies } from "./corpus/broker/lies.ts";

/*
 * Hostile code in the broker's place: with its login at the internal Vault, and with its certificate at an honest intake.
 * test/attack/hostile-worker.test.ts has what it may do on its machine.
 */

const corpus = startCorpus("taken-over broker");

describe("at the internal Vault", () => {
  const MOUNT = "credential-keys";
  const context = {
    ...{ org: "o", credential: "a", version: "1", purpose: "integration" as const, policy: "-" },
  };
  const encoded = Buffer.from(canonicalContext(context)).toString("base64");
  let internal: InternalVault;
  let token: string;
  let ciphertext: string;
  beforeAll(async () => {
    internal = await startInternalVault(inject("vaultBinary"));
    token = (await appRoleLogin(internal.endpoint, internal.logins["worker-broker"]).token()).reveal();
    const theirs = await keysOf(internal, "intake", "integration").makeDataKey(context);
    ciphertext = Buffer.from(theirs.encrypted).toString();
  });
  afterAll(() => internal?.stop());

  const asks: [way: string, method: string, path: string, body?: object][] = [
    ...(["integration", "webhook"] as const).flatMap((kind): (typeof asks)[number][] => [
      [
        `open a data key of ${kind}`,
        "POST",
        `${MOUNT}/decrypt/${kind}`,
        { ciphertext: "CIPHERTEXT", context: encoded },
      ],
      [`make a data key of ${kind}`, "POST", `${MOUNT}/datakey/plaintext/${kind}`, { context: encoded }],
      [`wrap a data key of ${kind}`, "POST", `${MOUNT}/datakey/wrapped/${kind}`, { context: encoded }],
      [`encrypt by ${kind}`, "POST", `${MOUNT}/encrypt/${kind}`, { plaintext: "AAAA", context: encoded }],
      [
        `rewrap by ${kind}`,
        "POST",
        `${MOUNT}/rewrap/${kind}`,
        { ciphertext: "CIPHERTEXT", context: encoded },
      ],
      [`export ${kind}`, "GET", `${MOUNT}/export/encryption-key/${kind}`],
      [`log in as worker-${kind}`, "POST", `auth/approle/role/worker-${kind}/secret-id`],
    ]),
    [
      "open many data keys at once",
      "POST",
      `${MOUNT}/decrypt/broker`,
      { batch_input: [{ ciphertext: "CIPHERTEXT", context: encoded }] },
    ],
    [
      "open by another version",
      "POST",
      `${MOUNT}/decrypt/broker`,
      { ciphertext: "CIPHERTEXT", context: encoded, key_version: 1 },
    ],
    [
      "open by a nonce of its own",
      "POST",
      `${MOUNT}/decrypt/broker`,
      { ciphertext: "CIPHERTEXT", context: encoded, nonce: "AAAA" },
    ],
    ["make a larger key", "POST", `${MOUNT}/datakey/plaintext/broker`, { context: encoded, bits: 512 }],
    ["wrap a data key", "POST", `${MOUNT}/datakey/wrapped/broker`, { context: encoded }],
    ["encrypt", "POST", `${MOUNT}/encrypt/broker`, { plaintext: "AAAA", context: encoded }],
    ["rewrap", "POST", `${MOUNT}/rewrap/broker`, { ciphertext: "CIPHERTEXT", context: encoded }],
    ["rotate its key", "POST", `${MOUNT}/keys/broker/rotate`],
    ["configure its key", "POST", `${MOUNT}/keys/broker/config`, { exportable: true }],
    ["read its key", "GET", `${MOUNT}/keys/broker`],
    ["export its key", "GET", `${MOUNT}/export/encryption-key/broker`],
    ["back its key up", "GET", `${MOUNT}/backup/broker`],
    ["delete its key", "DELETE", `${MOUNT}/keys/broker`],
    ["trim its key", "POST", `${MOUNT}/keys/broker/trim`, { min_available_version: 1 }],
    ["list keys", "LIST", `${MOUNT}/keys`],
    ["sign receipts", "POST", "transit/sign/receipts", { input: "AAAA" }],
    ["sign receipts by a hash", "POST", "transit/sign/receipts/sha2-256", { input: "AAAA" }],
    ["verify receipts", "POST", "transit/verify/receipts", { input: "AAAA", signature: "vault:v1:AAAA" }],
    ["read the receipts' key", "GET", "transit/keys/receipts"],
    ["export the receipts' key", "GET", "transit/export/signing-key/receipts"],
    ["rotate the receipts' key", "POST", "transit/keys/receipts/rotate"],
    ["sign the directory", "POST", "transit/sign/directory", { input: "AAAA" }],
    ["sign a revocation", "POST", "transit/sign/ownership", { input: "AAAA" }],
    [
      "unseal an organization",
      "POST",
      "transit/decrypt/org-oaaaaaaaaaaaaaaa",
      { ciphertext: "vault:v1:AAAA" },
    ],
    ["read the registry", "GET", "registry/data/directory"],
    ["list the registry", "LIST", "registry/metadata/"],
    ["issue a certificate", "POST", "pki/issue/org-vault", { common_name: "a.org.strongroom.internal" }],
    ["sign a client", "POST", "org-client/sign/platform-maintain", { csr: "a" }],
    ["read ownership", "GET", "ownership/data/a"],
    ["log in as the intake", "POST", "auth/approle/role/intake/secret-id"],
    ["read its own role", "GET", "auth/approle/role/worker-broker"],
    ["make a secret id of its own", "POST", "auth/approle/role/worker-broker/secret-id"],
    ["make a token", "POST", "auth/token/create", { policies: ["intake"] }],
    ["make an orphan", "POST", "auth/token/create-orphan"],
    [
      "write its policy",
      "POST",
      "sys/policies/acl/worker-broker",
      { policy: 'path "*" { capabilities = ["sudo"] }' },
    ],
    ["read policies", "GET", "sys/policies/acl/intake"],
    ["list mounts", "GET", "sys/mounts"],
    ["mount", "POST", "sys/mounts/mine", { type: "kv" }],
    ["take a snapshot", "GET", "sys/storage/raft/snapshot"],
    ["seal", "PUT", "sys/seal"],
    ["stop auditing", "DELETE", "sys/audit/file"],
    ["keep something", "POST", "cubbyhole/a", { a: "b" }],
    ["wrap something", "POST", "sys/wrapping/wrap", { a: "b" }],
    ["hash by Vault", "POST", "sys/tools/hash", { input: "AAAA" }],
  ];

  test.each(asks)("it cannot %s", async (way, method, path, body) => {
    const answer = await fetch(`${internal.endpoint.address}/v1/${path}`, {
      ...{ method, headers: { "X-Vault-Token": token } },
      ...(body && { body: JSON.stringify(body).replace("CIPHERTEXT", ciphertext) }),
    });
    const text = await answer.text();
    corpus.count(`Vault: ${way}`, { accepted: answer.ok, forwarded: text.includes("plaintext") });
    expect(answer.status, text).toBe(403);
  });

  test("it opens a data key of its own for exactly the context that it was made for", async () => {
    const own = { ...context, purpose: "broker" as const };
    const made = await keysOf(internal, "intake", "broker").makeDataKey(own);
    const keys = keysOf(internal, "worker-broker", "broker");
    expect(Buffer.from(await keys.openDataKey(own, made.encrypted)).equals(made.plaintext)).toBe(true);
    for (const change of [{ org: "p" }, { credential: "b" }, { version: "2" }, { policy: "x" }]) {
      await expect(keys.openDataKey({ ...own, ...change }, made.encrypted)).rejects.toMatchObject({
        reason: "refused",
      });
    }
  });
});

describe("at the intake", () => {
  let stage: BrokerStage;
  beforeAll(async () => {
    stage = await startBrokerStage();
    await stage.put("stripe");
  });
  afterAll(() => stage?.close());

  const honest: typeof stage.frames.serve = async ({ go, whole }) => {
    await go();
    whole(200, [["content-type", "text/plain"]], "fine");
  };
  const entriesOf = async (id: string) =>
    (await exported(stage.store, stage.acme)).flatMap((line) =>
      "entry" in line && (line.entry as Entry).id === id ? [line.entry] : [],
    );

  test.each(lies.map((each, index) => ({ number: index + 1, ...each })))("lie $number: $way", async ({
    way,
    tell,
    expected,
  }) => {
    stage.frames.serve = async (served) => void (await tell(served));
    const answer = await stage.send("GET", "/v1/use/stripe/v1/things");
    const isWhole = !answer.isCut && answer.headers["strongroom-answer"] === "destination";
    const hasEvil =
      JSON.stringify(answer.headers).includes("evil") && !/Access|Clear|Refresh|Alt|Service/.test(way);
    corpus.count(way, {
      accepted: isWhole !== (expected === "whole"),
      forwarded: hasEvil || answer.text.includes("x-evil"),
    });
    expect(answer.text).not.toContain("x-evil");
    expect(hasEvil, JSON.stringify(answer.headers)).toBe(false);
    expect(answer.headers["x-evil"]).toBeUndefined();
    if (expected === "cut") expect(answer.isCut).toBe(true);
    else if (expected === "whole") expect(isWhole, answer.text).toBe(true);
    else {
      expect(answer, answer.text).toMatchObject({
        status: expected,
        isCut: false,
        json: { status: expected },
      });
      expect(answer.headers["strongroom-answer"]).toBe("platform");
    }
    const receipt = String(answer.headers["strongroom-receipt"]);
    await expect.poll(async () => (await entriesOf(receipt)).length).toBe(2);
    const [intent, completion] = await entriesOf(receipt);
    expect(Value.Check(Entry, intent) && Value.Check(Entry, completion), JSON.stringify(completion)).toBe(
      true,
    );
    if (expected !== "whole") expect(completion).not.toMatchObject({ outcome: "answered" });
    stage.frames.serve = honest;
    expect(await stage.send("GET", "/v1/use/stripe/v1/things")).toMatchObject({ status: 200, text: "fine" });
  });

  test("an answer without end goes on for as long as its caller takes it, and holds up nobody", async () => {
    const closed = Promise.withResolvers<void>();
    stage.frames.serve = async ({ go, head, data, response }) => {
      await go();
      response.once("close", closed.resolve);
      head();
      while (!response.destroyed) await data(Buffer.alloc(65_536));
    };
    const { address } = stage.intake;
    const leaving = new AbortController();
    const endless = await fetch(`${address}/v1/use/stripe/v1/endless`, {
      ...{ signal: leaving.signal, headers: { authorization: `Bearer ${stage.token()}` } },
    });
    await endless.body?.getReader().read();
    stage.frames.serve = honest;
    expect((await stage.send("GET", "/v1/use/stripe/v1/things")).status).toBe(200);
    leaving.abort();
    await closed.promise;
  });

  describe("by false answers to a change of rules", () => {
    const rules = [{ id: "all", methods: ["GET"], paths: ["/v1/**"], who: { level: "reader" } }] as const;
    const policy = () => brokerPolicy({ rules: [{ ...rules[0], methods: ["GET"], paths: ["/v1/**"] }] });
    const sealed = async (changes: object, of: object = {}) => {
      const context = {
        ...{ org: stage.acme, credential: "stripe", version: "2", purpose: "broker" as const },
        ...{ policy: brokerPolicyHash({ ...policy(), ...changes }), ...of },
      };
      return Buffer.from(
        await seal(stage.keys.broker, context, new TextEncoder().encode("another")),
      ).toString("base64");
    };
    test.each<[string, () => Promise<{ status: number; json: unknown }> | { status: number; json: unknown }]>(
      [
        ["nothing", () => ({ status: 200, json: {} })],
        ["null", () => ({ status: 200, json: null })],
        ["no envelope", () => ({ status: 200, json: { version: 2, envelope: "AAAA" } })],
        ["an empty envelope", () => ({ status: 200, json: { version: 2, envelope: "" } })],
        ["another version", async () => ({ status: 200, json: { version: 3, envelope: await sealed({}) } })],
        [
          "a version of text",
          async () => ({ status: 200, json: { version: "2", envelope: await sealed({}) } }),
        ],
        [
          "the value of another version",
          async () => ({ status: 200, json: { version: 2, envelope: await sealed({}, { version: "3" }) } }),
        ],
        [
          "another organization's",
          async () => ({
            status: 200,
            json: { version: 2, envelope: await sealed({}, { org: stage.globex }) },
          }),
        ],
        [
          "another credential's",
          async () => ({
            status: 200,
            json: { version: 2, envelope: await sealed({}, { credential: "b" }) },
          }),
        ],
        [
          "another policy's",
          async () => ({ status: 200, json: { version: 2, envelope: await sealed({ concurrency: 1 }) } }),
        ],
        [
          "a member more",
          async () => ({ status: 200, json: { version: 2, envelope: await sealed({}), value: "x-evil" } }),
        ],
        [
          "a failure with status 200",
          () => ({ status: 200, json: { failure: "forbidden", detail: "", isSent: false } }),
        ],
        ["a redirect", () => ({ status: 302, json: {} })],
        ["500 KB", () => ({ status: 200, json: { version: 2, envelope: "A".repeat(600_000) } })],
      ],
    )("%s: the rules stay", async (way, operate) => {
      const answer = await operate();
      stage.frames.operate = () => answer;
      const before = await stage.intake.call("GET", "/v1/credentials/stripe", {
        token: stage.token("admin"),
      });
      const put = await stage.intake.call("PUT", "/v1/credentials/stripe/rules", {
        token: stage.token("admin"),
        body: { rules },
      });
      const after = await stage.intake.call("GET", "/v1/credentials/stripe", { token: stage.token("admin") });
      const isChanged = after.json.version !== before.json.version;
      corpus.count(`rules: ${way}`, {
        accepted: isChanged || put.status < 400,
        forwarded: put.text.includes("x-evil"),
      });
      expect([500, 502, 503], put.text).toContain(put.status);
      expect(after.json.destination).toEqual(before.json.destination);
    });
  });

  test("its own login and certificate make it no member", async () => {
    const { address } = stage.intake;
    for (const token of [
      "hvs.CAESI",
      "hvb.AAAA",
      "worker-broker",
      Buffer.from("broker.test").toString("base64"),
    ]) {
      for (const headers of [{ authorization: `Bearer ${token}` }, { "x-vault-token": token }]) {
        const answer = await fetch(`${address}/v1/credentials`, {
          headers: headers as Record<string, string>,
        });
        corpus.count(`member: ${Object.keys(headers)} ${token}`, { accepted: answer.ok, forwarded: false });
        expect(answer.status).toBe(401);
      }
    }
  });
});

test("of all ways there are at least sixty, and none succeeded", () => {
  expect(corpus).toMatchObject({ accepted: [], forwarded: [] });
  expect(corpus.tried).toBeGreaterThanOrEqual(60);
});

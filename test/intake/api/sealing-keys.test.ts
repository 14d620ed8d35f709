import { afterEach, beforeEach, expect, test } from "vitest";
import { makeSealingKeyPair, sealValue, toBase64Url } from "../../../services/shared/envelope/sealing.ts";
import { policyHash } from "../../../services/shared/work/destination.ts";
import type { Outcome } from "../../../services/shared/work/messages.ts";
import {
  answered,
  credentialBody,
  eventually,
  type IntakeStage,
  type Message,
  startIntakeStage,
  type TestIntake,
} from "../../harness/intake.ts";

let stage: IntakeStage;
let intake: TestIntake;
beforeEach(async () => {
  stage = await startIntakeStage();
  intake = await stage.start();
});
afterEach(() => stage.close());

const makeKey = async (): Promise<Outcome> => ({
  state: "key-made",
  publicKey: toBase64Url((await makeSealingKeyPair()).publicKey),
  privateKey: Buffer.from("wrapped by the worker").toString("base64"),
});
const work = () =>
  stage.answer("integration", ({ type }) => (type === "make-sealing-key" ? makeKey() : answered()));
const keys = (claim?: string, query = "") =>
  intake.call("GET", `/v1/sealing-keys${query}`, { token: stage.token("admin", claim) });

interface Sealing {
  claim?: string;
  name?: string;
  value?: string;
  context?: object;
  put?: object;
}
/** Seals a value as the CLI does, and puts it. */
async function putSealed({
  claim,
  name = "mail",
  value = "sealed-by-the-client",
  context = {},
  put = {},
}: Sealing = {}) {
  const { json } = await keys(claim, `?credential=${name}`);
  const [key] = json.keys;
  const { value: _, ...body } = credentialBody();
  const sealed = await sealValue(
    new Uint8Array(Buffer.from(key.publicKey, "base64url")),
    {
      ...{
        org: json.org,
        credential: name,
        version: String(json.nextVersion),
        purpose: "integration",
        key: key.id,
      },
      ...{ policy: policyHash(body.destination as never), ...context },
    },
    Buffer.from(value),
  );
  return intake.call("PUT", `/v1/credentials/${name}`, {
    token: stage.token("admin", claim),
    body: { ...body, sealed, version: json.nextVersion, ...put },
  });
}

test("the first call has a worker make a key, and ten at once have it make one", async () => {
  const seen = work();
  const answers = await Promise.all(Array.from({ length: 10 }, () => keys()));
  for (const { status, json } of answers) expect([status, json.keys?.length]).toEqual([200, 1]);
  expect(answers[0]?.json).toMatchObject({ org: stage.acme, keys: [{ state: "current" }] });
  expect(seen).toHaveLength(1);
  expect(answers[0]?.text).not.toContain(Buffer.from("wrapped").toString("base64"));
  expect((await keys("org_globex")).json.keys[0].id).not.toBe(answers[0]?.json.keys[0].id);
});

test("without a worker it says so, and the next call finds the key", async () => {
  const refused = await keys();
  expect(refused).toMatchObject({ status: 503, json: { code: "key_provider_unavailable", retry: true } });
  expect(refused.headers.get("retry-after")).toBe("1");
  const seen = work();
  await eventually(async () => (await keys()).status).toBe(200);
  expect(seen).toHaveLength(1);
});

test("a sealed value is stored as it is, and goes to the worker with the wrapped private key", async () => {
  const seen = work();
  const answer = await putSealed();
  expect(answer).toMatchObject({ status: 201, json: { version: 1, versions: [{ sealedBy: "client" }] } });
  const body = { credential: "mail", request: { method: "GET", path: "/v1/x" } };
  await intake.call("POST", "/v1/jobs", {
    token: stage.token("writer"),
    body,
    headers: { prefer: "wait=10" },
  });
  const message = seen.find(({ type }) => type === "request") as Message;
  expect(message.material).toMatchObject({
    sealed: { key: (await keys()).json.keys[0].id },
    privateKey: Buffer.from("wrapped by the worker").toString("base64"),
  });
  expect((await keys(undefined, "?credential=mail")).json.nextVersion).toBe(2);
  expect((await putSealed()).json.version).toBe(2);
});

test("rotation makes a new current key; values sealed to the old one are refused, and stored ones still used", async () => {
  const seen = work();
  await putSealed();
  const before = (await keys()).json.keys[0];
  const rotated = await intake.call("POST", "/v1/sealing-keys/rotate", { token: stage.token("admin") });
  expect(rotated.json.keys).toMatchObject([{ state: "current" }, { id: before.id, state: "old" }]);
  expect(rotated.json.keys[0].id).not.toBe(before.id);

  const { value: _, ...rest } = credentialBody();
  const sealed = await sealValue(
    new Uint8Array(Buffer.from(before.publicKey, "base64url")),
    {
      ...{ org: stage.acme, credential: "mail", version: "2", purpose: "integration", key: before.id },
      policy: policyHash(rest.destination as never),
    },
    Buffer.from("too late for this"),
  );
  const old = await intake.call("PUT", "/v1/credentials/mail", {
    token: stage.token("admin"),
    body: { ...rest, sealed, version: 2 },
  });
  expect(old).toMatchObject({ status: 422, json: { code: "sealed_value_refused" } });

  const body = { credential: "mail", request: { method: "GET", path: "/v1/x" } };
  await intake.call("POST", "/v1/jobs", {
    token: stage.token("writer"),
    body,
    headers: { prefer: "wait=10" },
  });
  expect(seen.findLast(({ type }) => type === "request")?.material.sealed.key).toBe(before.id);
});

test("refused: another organization's key, another version, damaged parts, a value too short or too long", async () => {
  work();
  const foreign = (await keys("org_globex")).json.keys[0];
  await keys();
  const refused = async (sealing: Sealing, code = "sealed_value_refused", status = 422) =>
    expect(await putSealed({ name: "bad", ...sealing })).toMatchObject({ status, json: { code } });
  const { value: _, ...rest } = credentialBody();
  const sealed = await sealValue(
    new Uint8Array(Buffer.from(foreign.publicKey, "base64url")),
    {
      ...{ org: stage.acme, credential: "bad", version: "1", purpose: "integration", key: foreign.id },
      policy: policyHash(rest.destination as never),
    },
    Buffer.from("sealed to another's key"),
  );
  await refused({ put: { sealed } });
  await refused({ put: { version: 2 } });
  const [current] = (await keys()).json.keys;
  const good = { ...sealed, key: current.id };
  await refused({ put: { sealed: { ...good, enc: `BA${"A".repeat(85)}` } } });
  await refused({ put: { sealed: { ...good, enc: "AAAA" } } });
  await refused({ put: { sealed: { ...good, commitment: "AAAA" } } });
  await refused({ put: { sealed: { ...good, ciphertext: "AAAA" } } });
  await refused({ put: { sealed: { ...good, key: `k${"a".repeat(15)}` } } });
  await refused({ value: "7 bytes" }, "invalid_value");
  await refused({ put: { sealed: { ...good, ciphertext: "A".repeat(119_999) } } }, "sealed_value_refused");
  await refused({ put: { value: "and in clear too" } }, "invalid_request", 400);
  expect((await intake.call("GET", "/v1/credentials/bad", { token: stage.token() })).status).toBe(404);
});

test("a worker that cannot make a key: the next call asks again", async () => {
  let isBroken = true;
  stage.answer("integration", () =>
    isBroken ? { state: "failed", failure: "key_unavailable", detail: "no" } : makeKey(),
  );
  expect((await keys()).status).toBe(503);
  isBroken = false;
  await eventually(async () => (await keys()).status).toBe(200);
});

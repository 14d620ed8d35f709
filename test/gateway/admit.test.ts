import { afterAll, beforeAll, beforeEach, expect, inject, onTestFinished, test } from "vitest";
import { startGateway, type TestGateway } from "../harness/gateway.ts";
import { type Recorder, startRecorder } from "../harness/recorder.ts";
import { respell, startIssuer, type TestIssuer } from "../harness/tokens.ts";
import { type InternalVault, startInternalVault } from "../harness/vault.ts";

let internal: InternalVault;
let issuer: TestIssuer;
let recorder: Recorder;
let gateway: TestGateway;
beforeAll(async () => {
  [internal, issuer] = await Promise.all([startInternalVault(inject("vaultBinary")), startIssuer()]);
  recorder = await startRecorder(internal);
  gateway = await startGateway({ issuers: [issuer], ca: internal.ca, orgs: orgs() });
});
afterAll(async () => {
  await gateway?.close();
  await recorder?.close();
  await issuer?.close();
  await internal?.stop();
});
beforeEach(() => {
  gateway.directoryServer.asked = [];
  gateway.directoryServer.askedStatus = 204;
});

const orgs = () => [{ id: recorder.org, claim: "org_acme", address: recorder.address }];
const owner = () => ({ issuer: issuer.issuer.issuer, claim: "org_acme" });

let people = 0;
const newToken = () => issuer.token({ sub: `p-${++people}`, jti: `t-${people}` });
const read = async (token: string) => (await gateway.call("GET", "/v1/secret/data/x", { token })).status;
const revokeSelf = (token: string, method = "POST") =>
  gateway.call(method, "/v1/auth/token/revoke-self", { token });

test("a caller ends its own token: here at once, and the control plane is told a digest and no token", async () => {
  const token = newToken();
  expect(await read(token)).toBe(200);
  expect(await revokeSelf(token)).toMatchObject({ status: 204, text: "" });
  recorder.clear();
  expect(await read(token)).toBe(403);
  expect((await gateway.call("POST", "/v1/auth/jwt/login", { body: { jwt: token } })).status).toBe(403);
  expect((await gateway.call("GET", "/v1/auth/token/lookup-self", { token })).status).toBe(403);
  expect(recorder.requests).toEqual([]);
  const [asked] = gateway.directoryServer.asked as [Record<string, unknown>];
  expect(asked).toEqual({
    org: recorder.org,
    token: expect.stringMatching(/^[\w-]{43}$/),
    expiresAt: expect.any(Number),
  });
  expect(JSON.stringify(asked)).not.toContain(token.split(".")[1]);
  expect(gateway.log().at(-1)).toMatchObject({ status: 403, reason: "revoked" });
  expect(await read(newToken())).toBe(200);
});

test("ending it again is no error: other gateways may not have been told", async () => {
  const token = newToken();
  gateway.directoryServer.askedStatus = 503;
  const untold = await revokeSelf(token, "PUT");
  expect(untold).toMatchObject({ status: 503, headers: { "retry-after": "1" } });
  expect(untold.json.errors?.join()).toContain("Repeat");
  expect(await read(token)).toBe(403);
  gateway.directoryServer.askedStatus = 204;
  expect((await revokeSelf(token, "PUT")).status).toBe(204);
  gateway.directoryServer.askedStatus = 429;
  expect((await revokeSelf(newToken())).status).toBe(429);
});

test("a token that is not valid ends nothing", async () => {
  expect((await revokeSelf(issuer.token({ exp: 2_000, iat: 1_000 }))).status).toBe(403);
  expect((await revokeSelf("x")).status).toBe(403);
  expect(gateway.directoryServer.asked).toEqual([]);
});

test("the list's three ways; a session that was open ends with the next request", async () => {
  const [byDigest, byId, bySubject, other] = [newToken(), newToken(), newToken(), newToken()];
  for (const token of [byDigest, byId, bySubject, other]) expect(await read(token)).toBe(200);
  await revokeSelf(byDigest); // for its digest
  const { token } = gateway.directoryServer.asked[0] as { token: string };
  const ends = Math.floor(Date.now() / 1000) + 3600;
  await gateway.revoke([
    {
      ...owner(),
      revocations: [
        { token, ends },
        { tokenId: `t-${people - 2}`, ends },
        { subject: `p-${people - 1}`, issuedUntil: ends, ends },
      ],
    },
  ]);
  recorder.clear();
  for (const token of [byDigest, byId, bySubject]) expect(await read(token)).toBe(403);
  expect(recorder.requests).toEqual([]);
  expect(await read(other)).toBe(200);
  const spelled = respell(byDigest);
  if (spelled) expect(await read(spelled)).toBe(403);
});

test("what was revoked stays so though its organization is made anew, here and by the list", async () => {
  const gateway = await startGateway({ issuers: [issuer], ca: internal.ca, orgs: orgs() });
  const anew = await startRecorder(internal);
  onTestFinished(async () => {
    await gateway.close();
    await anew.close();
  });
  const read = async (token: string) => (await gateway.call("GET", "/v1/secret/data/x", { token })).status;
  const [own, listed, good] = [newToken(), newToken(), newToken()];
  for (const token of [own, listed, good]) expect(await read(token)).toBe(200);
  gateway.directoryServer.askedStatus = 503; // the list never has it
  await gateway.call("POST", "/v1/auth/token/revoke-self", { token: own });
  const ends = Math.floor(Date.now() / 1000) + 3600;
  await gateway.revoke([{ ...owner(), revocations: [{ tokenId: `t-${people - 1}`, ends }] }]);
  await gateway.publish([{ id: anew.org, claim: "org_acme", address: anew.address }], {
    deleted: [recorder.org],
  });
  for (const token of [own, listed]) expect(await read(token)).toBe(403);
  expect(anew.requests).toEqual([]);
  expect(await read(good)).toBe(200);
});

test("a token whose id is no text could not be revoked by it, and is refused", async () => {
  for (const jti of [1, "", [], { a: 1 }]) expect(await read(issuer.token({ jti }))).toBe(403);
  expect(gateway.log().at(-1)).toMatchObject({ reason: "token_id" });
});

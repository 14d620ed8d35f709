import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, expect, inject, onTestFinished, test } from "vitest";
import { revokeSelf as tellOthers } from "../../../services/gateway/answer/revoke-self.ts";
import type { RevocationSource } from "../../../services/shared/front/published/revocation-source.ts";
import { startGateway, type TestGateway } from "../../harness/gateway.ts";
import { type Recorder, startRecorder } from "../../harness/recorder.ts";
import { respell, startIssuer, type TestIssuer } from "../../harness/tokens.ts";
import { type InternalVault, startInternalVault } from "../../harness/vault.ts";

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

test("a caller revokes its own token: here at once, and the control plane gets a digest and no token", async () => {
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

test("revoking it again is no error, since other gateways may not have been notified", async () => {
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

test("an invalid token revokes nothing", async () => {
  expect((await revokeSelf(issuer.token({ exp: 2_000, iat: 1_000 }))).status).toBe(403);
  expect((await revokeSelf("x")).status).toBe(403);
  expect(gateway.directoryServer.asked).toEqual([]);
});

test("the list's three kinds of entry; an open session ends with its next request", async () => {
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

test("a revoked token stays revoked after its organization is recreated, here and by the list", async () => {
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

test("a token whose id is not a string is refused, since it could not be revoked by id", async () => {
  for (const jti of [1, "", [], { a: 1 }]) expect(await read(issuer.token({ jti }))).toBe(403);
  expect(gateway.log().at(-1)).toMatchObject({ reason: "token_id" });
});

test("if other gateways could not be notified, it says so within five seconds", {
  timeout: 20_000,
}, async () => {
  const asked: { redirected: number; hung: (() => void)[] } = { redirected: 0, hung: [] };
  const server = createServer((request, response) => {
    const status = Number(request.url?.slice(1));
    if (request.url === "/hang") asked.hung.push(() => response.destroy());
    else if (request.url === "/followed") asked.redirected++;
    else response.writeHead(status, { location: "/followed" }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    for (const end of asked.hung) end();
    server.close();
  });
  const added: unknown[] = [];
  const org = { id: "o", ...owner(), address: recorder.address };
  const list = { add: (...entry: unknown[]) => added.push(entry) } as unknown as RevocationSource;
  const { port } = server.address() as AddressInfo;
  const tell = (path: string) =>
    tellOthers(list, `http://127.0.0.1:${port}/${path}`, org, { key: "digest", expiresAt: 9 });
  await tell("204");
  for (const [path, code] of [
    ["429", "too_many_requests"],
    ["200", "revocations_unavailable"],
    ["500", "revocations_unavailable"],
    ["302", "revocations_unavailable"],
  ]) {
    await expect(tell(path as string), path).rejects.toMatchObject({
      code,
      message: expect.stringContaining("Repeat"),
    });
  }
  const began = performance.now();
  await expect(tell("hang")).rejects.toMatchObject({ code: "revocations_unavailable" });
  expect(performance.now() - began).toBeGreaterThan(4_900);
  expect(performance.now() - began).toBeLessThan(10_000);
  expect(asked.redirected).toBe(0);
  // Here it is ended each time, whatever the others were told.
  expect(added).toEqual(Array.from({ length: 6 }, () => [org, "digest", 9]));
});

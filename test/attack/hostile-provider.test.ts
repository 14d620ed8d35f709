/** What a hostile provider, or a member with a hostile provider, can do to a flow of OAuth: nothing of it is stored. */
import { randomUUID } from "node:crypto";
import type { ServerResponse } from "node:http";
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from "jose";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { CallFailure } from "../../services/shared/broker/calls.ts";
import type { ConnectionBegin, ConnectionComplete } from "../../services/shared/broker/connections.ts";
import { type BrokerPolicy, brokerPolicyHash } from "../../services/shared/broker/policy.ts";
import { seal } from "../../services/shared/envelope/envelope.ts";
import { newOrgId } from "../../services/shared/org.ts";
import { beginConnection, type ConnectParts } from "../../services/worker/broker/connect/begin.ts";
import { checkedFlow, completeConnection } from "../../services/worker/broker/connect/complete.ts";
import { createExchange } from "../../services/worker/outbound/exchange.ts";
import { type HostileProvider, json, SCOPES, startHostileProvider } from "../harness/hostile-provider.ts";
import { memoryKeyProvider } from "../harness/key-provider.ts";

const REDIRECT = "https://console.acme.example/callback/files";
const [ORG, OTHER_ORG] = [newOrgId(), newOrgId()];
const [MEMBER, OTHER_MEMBER] = ["0123456789abcdef", "fedcba9876543210"];
const SECRET = "client-secret-canary-0123456789";
const keys = memoryKeyProvider("broker");
const never = new AbortController().signal;

let evil: HostileProvider;
let honest: HostileProvider;
let parts: ConnectParts;
beforeAll(async () => {
  evil = await startHostileProvider("evil.example");
  honest = await startHostileProvider("honest.example");
  const privateDestinations = new Map([evil, honest].map(({ issuer, exception }) => [issuer, exception]));
  const exchange = createExchange({ privateDestinations, totalMs: 500 });
  parts = { keys, exchange, now: Date.now };
});
beforeEach(() => {
  evil.reset();
  honest.reset();
});
afterAll(async () => {
  await evil.close();
  await honest.close();
});

const beginning = (changes: Partial<ConnectionBegin> = {}): ConnectionBegin => ({
  ...{ id: randomUUID(), token: "jwt", org: ORG, connection: "files", provider: { issuer: evil.issuer } },
  ...{ scopes: SCOPES, redirect: REDIRECT, clientId: "acme", hasSecret: false },
  ...{ use: { origin: "https://api.example.com", rules: [] } },
  ...changes,
});

/** A flow, and what an honest provider would answer. */
async function begun(changes: Partial<ConnectionBegin> = {}, member = MEMBER) {
  const call = beginning(changes);
  const { url, flow } = await beginConnection(parts, call, member, never);
  const asked = new URL(url).searchParams;
  const nonce = asked.get("nonce") ?? undefined;
  const parameters = { code: "code-0123456789", state: asked.get("state") ?? "", iss: evil.issuer };
  evil.answers["/token"] ??= async ({ form }, response) =>
    json(response, 200, await evil.tokens(form.get("client_id") ?? "acme", nonce));
  return { call, url, asked, nonce, parameters, flow: { id: call.id, envelope: flow } };
}
type Begun = Awaited<ReturnType<typeof begun>>;

const callbackOf = (parameters: Record<string, string>, redirect = REDIRECT) =>
  `${redirect}?${new URLSearchParams(parameters)}`;

async function complete(
  { call, flow, parameters }: Begun,
  changes: Partial<ConnectionComplete> = {},
  member = MEMBER,
) {
  const completion: ConnectionComplete = {
    ...{ id: randomUUID(), token: "jwt", org: call.org, receipt: {} as never, connection: call.connection },
    ...{ version: 1, flow, callback: callbackOf(parameters), ...changes },
  };
  return completeConnection(parts, completion, await checkedFlow(parts, completion, member), {
    within: never,
    gone: never,
  });
}

const refusedAs = (failure: CallFailure, part?: string) =>
  expect.objectContaining({
    failure,
    ...(part !== undefined && { parts: expect.objectContaining({ part }) }),
  });
const wasAskedForToken = (provider: HostileProvider) => provider.asked.some(({ path }) => path === "/token");

test("an honest provider passes, so each attempt below fails for its one difference", async () => {
  const { policy, scopes } = await complete(await begun());
  expect(scopes).toEqual(SCOPES);
  expect(policy.grant).toMatchObject({ endpoint: `${evil.issuer}/token` });
});

describe("the authorization response is refused before its code goes anywhere", () => {
  const ATTEMPTS: [
    name: string,
    part: string,
    change: (flow: Begun) => Promise<Partial<ConnectionComplete>> | Partial<ConnectionComplete>,
  ][] = [
    [
      "mix-up: iss of another provider",
      "iss",
      ({ parameters }) => ({ callback: callbackOf({ ...parameters, iss: honest.issuer }) }),
    ],
    [
      "mix-up: iss left out by a provider that sends it",
      "iss",
      ({ parameters: { code, state } }) => ({ callback: callbackOf({ code, state }) }),
    ],
    ["mix-up: iss empty", "iss", ({ parameters }) => ({ callback: callbackOf({ ...parameters, iss: "" }) })],
    [
      "mix-up: iss with a final slash",
      "iss",
      ({ parameters }) => ({ callback: callbackOf({ ...parameters, iss: `${evil.issuer}/` }) }),
    ],
    [
      "mix-up: iss in other case",
      "iss",
      ({ parameters }) => ({ callback: callbackOf({ ...parameters, iss: evil.issuer.toUpperCase() }) }),
    ],
    [
      "mix-up: iss twice, one of them right",
      "parameters",
      ({ parameters }) => ({
        callback: `${callbackOf(parameters)}&iss=${encodeURIComponent(honest.issuer)}`,
      }),
    ],
    [
      "code injection: code of another flow with the state of that flow",
      "state",
      async () => ({ callback: callbackOf((await begun()).parameters) }),
    ],
    [
      "code injection: two codes",
      "parameters",
      ({ parameters }) => ({ callback: `${callbackOf(parameters)}&code=other` }),
    ],
    [
      "code injection: code with a line break",
      "code",
      ({ parameters }) => ({ callback: callbackOf({ ...parameters, code: "a\r\nX: y" }) }),
    ],
    [
      "code injection: code of 5,000 characters",
      "code",
      ({ parameters }) => ({ callback: callbackOf({ ...parameters, code: "c".repeat(5_000) }) }),
    ],
    ["no code", "code", ({ parameters: { state, iss } }) => ({ callback: callbackOf({ state, iss }) })],
    [
      "state fixation: a state chosen by the attacker",
      "state",
      ({ parameters }) => ({ callback: callbackOf({ ...parameters, state: "a".repeat(43) }) }),
    ],
    ["state left out", "state", ({ parameters: { code, iss } }) => ({ callback: callbackOf({ code, iss }) })],
    ["state empty", "state", ({ parameters }) => ({ callback: callbackOf({ ...parameters, state: "" }) })],
    [
      "state cut",
      "state",
      ({ parameters }) => ({ callback: callbackOf({ ...parameters, state: parameters.state.slice(0, -1) }) }),
    ],
    [
      "state with one more character",
      "state",
      ({ parameters }) => ({ callback: callbackOf({ ...parameters, state: `${parameters.state}A` }) }),
    ],
    [
      "state with white space",
      "state",
      ({ parameters }) => ({ callback: callbackOf({ ...parameters, state: `${parameters.state} ` }) }),
    ],
    [
      "state twice",
      "parameters",
      ({ parameters }) => ({ callback: `${callbackOf(parameters)}&state=${parameters.state}` }),
    ],
    [
      "state under an encoded name as well",
      "parameters",
      ({ parameters }) => ({ callback: `${callbackOf(parameters)}&%73tate=x` }),
    ],
    [
      "a JARM response",
      "iss",
      ({ parameters }) => ({ callback: callbackOf({ ...parameters, response: "a.b.c" }) }),
    ],
    [
      "an ID token in the front channel",
      "iss",
      ({ parameters }) => ({ callback: callbackOf({ ...parameters, id_token: "a.b.c" }) }),
    ],
    [
      "the provider's error",
      "error",
      ({ parameters: { state, iss } }) => ({ callback: callbackOf({ state, iss, error: "access_denied" }) }),
    ],
    [
      "an error that is a script",
      "error",
      ({ parameters: { state, iss } }) => ({ callback: callbackOf({ state, iss, error: "<script>" }) }),
    ],
    [
      "a fragment instead of a query",
      "redirect",
      ({ parameters }) => ({ callback: callbackOf(parameters).replace("?", "#") }),
    ],
    [
      "a fragment after the query",
      "redirect",
      ({ parameters }) => ({ callback: `${callbackOf(parameters)}#x` }),
    ],
    ["no query", "redirect", () => ({ callback: REDIRECT })],
    ["flow of another connection", "flow", () => ({ connection: "mail" })],
    ["flow of another organization", "flow", () => ({ org: OTHER_ORG })],
    ["flow of another call", "flow", ({ flow }) => ({ flow: { ...flow, id: randomUUID() } })],
    [
      "flow's envelope of another call",
      "flow",
      async ({ flow }) => ({ flow: { ...flow, envelope: (await begun()).flow.envelope } }),
    ],
    [
      "flow's envelope changed",
      "flow",
      ({ flow: { id, envelope } }) => ({ flow: { id, envelope: `${envelope.slice(0, -8)}AAAAAAA=` } }),
    ],
    [
      "flow's envelope cut",
      "flow",
      ({ flow: { id, envelope } }) => ({ flow: { id, envelope: envelope.slice(0, 200) } }),
    ],
  ];
  test.each(ATTEMPTS)("%s", async (_, part, change) => {
    const flow = await begun();
    await expect(complete(flow, await change(flow))).rejects.toEqual(refusedAs("callback_refused", part));
    expect(wasAskedForToken(evil)).toBe(false);
  });

  test("state fixation: another member's flow, completed by its victim", async () => {
    const flow = await begun({}, OTHER_MEMBER);
    await expect(complete(flow)).rejects.toEqual(refusedAs("callback_refused", "flow"));
    expect(wasAskedForToken(evil)).toBe(false);
  });

  test("code injection: one's own flow, completed by another member", async () => {
    const flow = await begun();
    await expect(complete(flow, {}, OTHER_MEMBER)).rejects.toEqual(refusedAs("callback_refused", "flow"));
    expect(wasAskedForToken(evil)).toBe(false);
  });

  test("a flow that has expired", async () => {
    const flow = await begun();
    const late = { ...parts, now: () => Date.now() + 601_000 };
    const completion = {
      ...{ id: randomUUID(), token: "jwt", org: ORG, receipt: {} as never, connection: "files" },
      ...{ version: 1, flow: flow.flow, callback: callbackOf(flow.parameters) },
    };
    await expect(checkedFlow(late, completion, MEMBER)).rejects.toEqual(
      refusedAs("callback_refused", "flow"),
    );
  });
});

/** How a redirect may come back changed. */
const REDIRECTS = [
  "https://console.acme.example/callback/files/",
  "https://console.acme.example/callback/Files",
  "https://console.acme.example/callback/files.evil",
  "https://console.acme.example/callback/fil%65s",
  "https://console.acme.example/callback/./files",
  "https://console.acme.example/callback/x/../files",
  "https://console.acme.example/callback//files",
  "https://console.acme.example//callback/files",
  "https://console.acme.example/callback\\files",
  "https://console.acme.example/callback/files;x",
  "https://console.acme.example/callback/files%00",
  "https://console.acme.example/callback/files%2f",
  "https://console.acme.example/callback/files%3F",
  "https://console.acme.example:443/callback/files",
  "https://console.acme.example:8443/callback/files",
  "https://console.acme.example./callback/files",
  "https://CONSOLE.acme.example/callback/files",
  "https://console.acme.example.evil.example/callback/files",
  "https://evil.example/console.acme.example/callback/files",
  "https://console.acme.example@evil.example/callback/files",
  "https://user@console.acme.example/callback/files",
  "https://console.acme.example%2eevil.example/callback/files",
  "http://console.acme.example/callback/files",
  "HTTPS://console.acme.example/callback/files",
  "//console.acme.example/callback/files",
  " https://console.acme.example/callback/files",
  "https://console.acme.example/callback/files ",
  "https://console.acme.example/callback/files\t",
  "https://console.acme.example/callback/files\u200b",
  "https://c\u043ensole.acme.example/callback/files",
  "javascript:https://console.acme.example/callback/files",
  "data:text/html,https://console.acme.example/callback/files",
  "custom.scheme:/callback/files",
  "http://127.0.0.1/callback/files",
  "http://localhost:8080/callback/files",
];

describe("a response is refused that came to another redirect, even one that looks the same", () => {
  test.each(REDIRECTS)("%j", async (redirect) => {
    const flow = await begun();
    const callback = callbackOf(flow.parameters, redirect);
    await expect(complete(flow, { callback })).rejects.toEqual(refusedAs("callback_refused", "redirect"));
    expect(wasAskedForToken(evil)).toBe(false);
  });
});

describe("a redirect is refused from the beginning that is not in its one spelling", () => {
  const REFUSED = [
    ...REDIRECTS.filter(
      (redirect) =>
        !/^https:\/\/console\.acme\.example(:8443)?\/callback\/(Files|files\.evil|files\/|files;x)$|^https:\/\/(console\.acme\.example\.)?evil\.example\/|:8443/.test(
          redirect,
        ),
    ),
    "https://console.acme.example/callback/files?next=/",
    "https://console.acme.example/callback/files#x",
    "https://127.0.0.1/callback/files",
    "https://[::1]/callback/files",
    "http://127.1:80/callback/files",
    "http://127.0.0.1:0/callback/files",
    "http://127.0.0.1:99999/callback/files",
    "http://0x7f000001:8080/callback/files",
    "http://127.0.0.1:8080@evil.example/callback/files",
    "https://console.acme.example",
    "",
  ];
  test.each(REFUSED)("%j", async (redirect) => {
    await expect(beginConnection(parts, beginning({ redirect }), MEMBER, never)).rejects.toEqual(
      refusedAs("not_allowed", "redirect"),
    );
  });

  test("a provider without iss needs a redirect of the connection's own", async () => {
    evil.metadata.authorization_response_iss_parameter_supported = false;
    const shared = beginning({ redirect: "https://console.acme.example/callback" });
    await expect(beginConnection(parts, shared, MEMBER, never)).rejects.toEqual(
      refusedAs("not_allowed", "redirect"),
    );
    await beginConnection(parts, beginning(), MEMBER, never);
  });
});

const idToken = async (flow: Begun, changes: object, alter: (jwt: SignJWT) => Promise<string>) => {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: evil.issuer, aud: "acme", sub: "ada", iat: now, exp: now + 300, nonce: flow.nonce };
  return alter(new SignJWT({ ...claims, ...changes }));
};

describe("a token answer is refused", () => {
  type Tokens = Record<string, unknown>;
  const ATTEMPTS: [
    name: string,
    failure: CallFailure,
    change: (tokens: Tokens, flow: Begun) => Promise<Tokens> | Tokens,
  ][] = [
    ["wrong nonce", "answer_unusable", async (_, { call }) => evil.tokens(call.clientId, "another-nonce")],
    ["no nonce", "answer_unusable", async (_, { call }) => evil.tokens(call.clientId, undefined)],
    [
      "nonce of another flow",
      "answer_unusable",
      async (_, { call }) => evil.tokens(call.clientId, (await begun()).nonce),
    ],
    ["no ID token though one was asked for", "answer_unusable", ({ id_token, ...rest }) => rest],
    [
      "ID token of another issuer",
      "answer_unusable",
      async (_, { nonce }) => evil.tokens("acme", nonce, { iss: honest.issuer }),
    ],
    ["ID token for another client", "answer_unusable", async (_, { nonce }) => evil.tokens("other", nonce)],
    [
      "ID token for two clients, without azp",
      "answer_unusable",
      async (_, { nonce }) => evil.tokens("acme", nonce, { aud: ["acme", "other"] }),
    ],
    [
      "ID token whose azp is another client",
      "provider_refused",
      async (_, { nonce }) => evil.tokens("acme", nonce, { azp: "other" }),
    ],
    [
      "ID token that has expired",
      "answer_unusable",
      async (_, { nonce }) => evil.tokens("acme", nonce, { exp: 1_000_000_000 }),
    ],
    [
      "ID token without a subject",
      "answer_unusable",
      async (_, { nonce }) => evil.tokens("acme", nonce, { sub: undefined }),
    ],
    [
      "ID token signed by nobody (alg none)",
      "answer_unusable",
      async (tokens, { nonce }) => ({
        ...tokens,
        id_token: new UnsecuredJWT({
          iss: evil.issuer,
          aud: "acme",
          sub: "ada",
          nonce,
          iat: 1,
          exp: 9_999_999_999,
        }).encode(),
      }),
    ],
    [
      "ID token signed with the client's id (HS256)",
      "answer_unusable",
      async (tokens, flow) => ({
        ...tokens,
        id_token: await idToken(flow, {}, (jwt) =>
          jwt.setProtectedHeader({ alg: "HS256" }).sign(Buffer.from("acme".padEnd(32, "x"))),
        ),
      }),
    ],
    [
      "ID token signed by another's key (jwks of another)",
      "answer_unusable",
      async (tokens, flow) => ({
        ...tokens,
        id_token: await idToken(flow, {}, async (jwt) =>
          jwt
            .setProtectedHeader({ alg: "ES256", kid: "one" })
            .sign((await generateKeyPair("ES256")).privateKey),
        ),
      }),
    ],
    [
      "ID token with an unknown key id",
      "answer_unusable",
      async (tokens, flow) => ({
        ...tokens,
        id_token: await idToken(flow, {}, async (jwt) =>
          jwt
            .setProtectedHeader({ alg: "ES256", kid: "two" })
            .sign((await generateKeyPair("ES256")).privateKey),
        ),
      }),
    ],
    ["ID token that is no JWT", "answer_unusable", (tokens) => ({ ...tokens, id_token: "x" })],
    [
      "wider scopes",
      "provider_refused",
      (tokens) => ({ ...tokens, scope: `${SCOPES.join(" ")} files.write` }),
    ],
    [
      "wider scopes, separated by a tab",
      "provider_refused",
      (tokens) => ({ ...tokens, scope: "openid\tfiles.write" }),
    ],
    [
      "wider scopes, separated by a comma",
      "provider_refused",
      (tokens) => ({ ...tokens, scope: "openid,files.write" }),
    ],
    ["scopes in other case", "provider_refused", (tokens) => ({ ...tokens, scope: "Files.Read" })],
    ["scopes that are no text", "answer_unusable", (tokens) => ({ ...tokens, scope: SCOPES })],
    ["no refresh token", "provider_refused", ({ refresh_token, ...rest }) => rest],
    [
      "a refresh token that is no text",
      "answer_unusable",
      (tokens) => ({ ...tokens, refresh_token: { a: 1 } }),
    ],
    [
      "a refresh token of 9,000 characters",
      "provider_refused",
      (tokens) => ({ ...tokens, refresh_token: "r".repeat(9_000) }),
    ],
    ["no access token", "answer_unusable", ({ access_token, ...rest }) => rest],
    ["a token of another type", "answer_unusable", (tokens) => ({ ...tokens, token_type: "mac" })],
    [
      "a DPoP token that nobody asked for",
      "provider_refused",
      (tokens) => ({ ...tokens, token_type: "DPoP" }),
    ],
    ["no type of the token", "answer_unusable", ({ token_type, ...rest }) => rest],
    ["a lifetime that is no number", "answer_unusable", (tokens) => ({ ...tokens, expires_in: "soon" })],
    ["a negative lifetime", "answer_unusable", (tokens) => ({ ...tokens, expires_in: -1 })],
    ["an error with the status 200", "provider_refused", () => ({ error: "bad_verification_code" })],
    ["an error beside tokens", "provider_refused", (tokens) => ({ ...tokens, error: "x" })],
  ];
  test.each(ATTEMPTS)("%s", async (_, failure, change) => {
    const flow = await begun();
    const tokens = await change(await evil.tokens("acme", flow.nonce), flow);
    evil.answers["/token"] = (_, response) => json(response, 200, tokens);
    const thrown = await complete(flow).catch((error: unknown) => error);
    expect(thrown).toEqual(refusedAs(failure));
    expect(String((thrown as Error).message)).not.toMatch(/canary/);
  });

  test("what was granted beyond the question is revoked", async () => {
    const flow = await begun();
    const tokens = { ...(await evil.tokens("acme", flow.nonce)), scope: "openid files.write" };
    evil.answers["/token"] = (_, response) => json(response, 200, tokens);
    await expect(complete(flow)).rejects.toThrow("It was revoked.");
    const revoked = evil.asked.find(({ path }) => path === "/revoke");
    expect(revoked?.form.get("token")).toBe("refresh-canary-0123456789");
  });

  test("jwks that has a key for another's name only", async () => {
    const flow = await begun();
    const { publicKey } = await generateKeyPair("ES256");
    evil.jwk = { ...(await exportJWK(publicKey)), kid: "one", alg: "ES256" };
    await expect(complete(flow)).rejects.toEqual(refusedAs("answer_unusable"));
  });
});

describe("a token endpoint's answer is refused, within its time, that", () => {
  const raw = (status: number, type: string, body: string) => (response: ServerResponse) =>
    void response.writeHead(status, { "Content-Type": type }).end(body);
  const ATTEMPTS: [name: string, failure: CallFailure, answer: (response: ServerResponse) => void][] = [
    [
      "redirects to another provider (302)",
      "answer_unusable",
      (response) => void response.writeHead(302, { Location: `${honest.issuer}/token` }).end(),
    ],
    [
      "redirects with the body (307)",
      "answer_unusable",
      (response) => void response.writeHead(307, { Location: `${honest.issuer}/token` }).end(),
    ],
    [
      "redirects to itself (308)",
      "answer_unusable",
      (response) => void response.writeHead(308, { Location: "/token" }).end(),
    ],
    [
      "is huge",
      "answer_unusable",
      (response) =>
        void response
          .writeHead(200, { "Content-Type": "application/json" })
          .end(`{"access_token":"${"x".repeat(1_000_000)}"}`),
    ],
    ["never begins", "timeout", () => {}],
    [
      "never ends",
      "timeout",
      (response) => void response.writeHead(200, { "Content-Type": "application/json" }).write("{"),
    ],
    ["breaks off", "unreachable", (response) => void response.destroy()],
    ["is HTML", "answer_unusable", raw(200, "text/html", "<html>ok</html>")],
    [
      "is HTML that says it is an error",
      "answer_unusable",
      raw(500, "text/html", "<script>alert(1)</script>"),
    ],
    ["is an error of status 400 in HTML", "answer_unusable", raw(400, "text/html", "<b>invalid_grant</b>")],
    ["is an error", "provider_refused", raw(400, "application/json", '{"error":"invalid_grant"}')],
    [
      "is an error with a script as code",
      "provider_refused",
      raw(400, "application/json", '{"error":"<script>"}'),
    ],
    [
      "is an error that asks for a login",
      "provider_refused",
      (response) => void response.writeHead(401, { "WWW-Authenticate": "Basic realm=x" }).end(),
    ],
    [
      "has the wrong content type",
      "answer_unusable",
      raw(200, "text/plain", '{"access_token":"canary-01","token_type":"bearer"}'),
    ],
    [
      "is a form as GitHub once had it",
      "answer_unusable",
      raw(200, "application/x-www-form-urlencoded", "access_token=canary-01&token_type=bearer"),
    ],
    ["is not JSON", "answer_unusable", raw(200, "application/json", "{")],
    ["is a list", "answer_unusable", raw(200, "application/json", "[]")],
    ["is null", "answer_unusable", raw(200, "application/json", "null")],
    ["is empty (204)", "answer_unusable", (response) => void response.writeHead(204).end()],
    ["is of status 201", "answer_unusable", raw(201, "application/json", "{}")],
    [
      "is encoded though asked not to",
      "answer_unusable",
      (response) =>
        void response
          .writeHead(200, { "Content-Encoding": "gzip", "Content-Type": "application/json" })
          .end("{}"),
    ],
    [
      "changes the protocol",
      "answer_unusable",
      (response) =>
        void response.socket?.end(
          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        ),
    ],
    ["is not HTTP", "answer_unusable", (response) => void response.socket?.end("SSH-2.0-x\r\n")],
    [
      "has two content types",
      "answer_unusable",
      (response) =>
        void response.socket?.end(
          "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\n{}",
        ),
    ],
  ];
  test.each(ATTEMPTS)("%s", async (_, failure, answer) => {
    const flow = await begun();
    evil.answers["/token"] = (_, response) => answer(response);
    const thrown = await complete(flow).catch((error: unknown) => error);
    expect(thrown).toEqual(refusedAs(failure));
    expect(String((thrown as Error).message)).not.toMatch(/canary|script>/);
    expect(honest.asked).toEqual([]);
  });
});

describe("a discovery document is refused that", () => {
  const ATTEMPTS: [name: string, change: (metadata: Record<string, unknown>) => object | undefined][] = [
    ["names another issuer", () => ({ issuer: honest.issuer })],
    ["names the issuer with a final slash", () => ({ issuer: `${evil.issuer}/` })],
    ["has no issuer", () => ({ issuer: undefined })],
    ["names another's token endpoint", () => ({ token_endpoint: `${honest.issuer}/token` })],
    [
      "names another's authorization endpoint",
      () => ({ authorization_endpoint: `${honest.issuer}/authorize` }),
    ],
    ["names another's keys", () => ({ jwks_uri: `${honest.issuer}/jwks` })],
    ["names another's revocation endpoint", () => ({ revocation_endpoint: `${honest.issuer}/revoke` })],
    ["has a token endpoint without TLS", () => ({ token_endpoint: evil.issuer.replace("https", "http") })],
    [
      "has a token endpoint at an internal address",
      () => ({ token_endpoint: "https://169.254.169.254/latest" }),
    ],
    [
      "has a token endpoint with user information",
      () => ({ token_endpoint: `https://x@${evil.issuer.slice(8)}/token` }),
    ],
    ["has a token endpoint in another spelling", () => ({ token_endpoint: `${evil.issuer}/a/../token` })],
    ["has a token endpoint that is no URL", () => ({ token_endpoint: 7 })],
    ["has no token endpoint", () => ({ token_endpoint: undefined })],
    ["has no authorization endpoint", () => ({ authorization_endpoint: undefined })],
    [
      "has an authorization endpoint that is a script",
      () => ({ authorization_endpoint: "javascript:alert(1)" }),
    ],
    ["has PKCE only in its plain form", () => ({ code_challenge_methods_supported: ["plain"] })],
  ];
  test.each(ATTEMPTS)("%s", async (_, change) => {
    Object.assign(evil.metadata, change(evil.metadata));
    await expect(beginConnection(parts, beginning(), MEMBER, never)).rejects.toEqual(
      refusedAs("answer_unusable"),
    );
    expect(honest.asked).toEqual([]);
  });

  const RAW: [name: string, failure: CallFailure, answer: (response: ServerResponse) => void][] = [
    [
      "redirects",
      "answer_unusable",
      (response) =>
        void response.writeHead(302, { Location: `${honest.issuer}/.well-known/openid-configuration` }).end(),
    ],
    [
      "is huge",
      "answer_unusable",
      (response) =>
        void response
          .writeHead(200, { "Content-Type": "application/json" })
          .end(`{"issuer":"${"x".repeat(1_000_000)}"}`),
    ],
    [
      "never ends",
      "timeout",
      (response) => void response.writeHead(200, { "Content-Type": "application/json" }).write("{"),
    ],
    [
      "is HTML",
      "answer_unusable",
      (response) => void response.writeHead(200, { "Content-Type": "text/html" }).end("<html>"),
    ],
    ["is missing", "answer_unusable", (response) => void response.writeHead(404).end()],
  ];
  test.each(RAW)("%s (raw)", async (_, failure, answer) => {
    evil.answers["/.well-known/openid-configuration"] = (_, response) => answer(response);
    await expect(beginConnection(parts, beginning(), MEMBER, never)).rejects.toEqual(refusedAs(failure));
    expect(honest.asked).toEqual([]);
  });
});

describe("a client's secret", () => {
  const sealed = async (origin: string, org = ORG) => {
    const policy: BrokerPolicy = { origin, inject: { basic: { user: "acme" } }, rules: [] };
    const context = { org, credential: "client", version: "1", purpose: "broker" } as const;
    const envelope = await seal(keys, { ...context, policy: brokerPolicyHash(policy) }, Buffer.from(SECRET));
    return {
      name: "client",
      version: 1,
      policy,
      material: { envelope: Buffer.from(envelope).toString("base64") },
    };
  };
  const sentAnywhere = () =>
    [...evil.asked, ...honest.asked].some(({ authorization = "", form }) =>
      decodeURIComponent(`${Buffer.from(authorization.slice(6), "base64")}${form}`).includes(SECRET),
    );

  test("is sent to the token endpoint that it was stored for", async () => {
    const flow = await begun({ hasSecret: true });
    await complete(flow, { secret: await sealed(evil.issuer) });
    expect(sentAnywhere()).toBe(true);
  });

  test("is not sent that was stored for another provider", async () => {
    const flow = await begun({ hasSecret: true });
    const failed = complete(flow, { secret: await sealed(honest.issuer) });
    await expect(failed).rejects.toEqual(refusedAs("not_allowed", "secretCredential"));
    expect(sentAnywhere()).toBe(false);
  });

  test("is not sent whose policy was exchanged for one with this provider's origin", async () => {
    const flow = await begun({ hasSecret: true });
    const secret = await sealed(honest.issuer);
    secret.policy = { ...secret.policy, origin: evil.issuer };
    await expect(complete(flow, { secret })).rejects.toThrow();
    expect(sentAnywhere()).toBe(false);
  });

  test("is not sent that is another organization's", async () => {
    const flow = await begun({ hasSecret: true });
    await expect(complete(flow, { secret: await sealed(evil.issuer, OTHER_ORG) })).rejects.toThrow();
    expect(sentAnywhere()).toBe(false);
  });

  test("is not slipped into a flow that was begun without one, nor left out", async () => {
    const secret = await sealed(evil.issuer);
    await expect(complete(await begun(), { secret })).rejects.toEqual(refusedAs("malformed"));
    await expect(complete(await begun({ hasSecret: true }))).rejects.toEqual(refusedAs("malformed"));
    expect(sentAnywhere()).toBe(false);
  });
});

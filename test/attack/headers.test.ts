import { beforeEach, expect } from "vitest";
import { startCorpus } from "../harness/corpus.ts";
import { test } from "../harness/fixtures.ts";
import type { TestGateway } from "../harness/gateway.ts";
import type { Recorder } from "../harness/recorder.ts";
import type { TestIssuer } from "../harness/tokens.ts";

let issuer: TestIssuer;
let recorder: Recorder;
let gateway: TestGateway;
test.beforeAll(({ recordedGateway }) => {
  ({ issuer, recorder, gateway } = recordedGateway);
});
beforeEach(() => recorder.clear());

const corpus = startCorpus("headers");

const VAULT = [
  ...["Namespace: root", "Namespace: other/", "Wrap-TTL: 60s", "Wrap-Format: jwt", "Policy-Override: true"],
  ...["MFA: x:1", "No-Request-Forwarding: true", "Forward: active-node", "Inconsistent: forward-active-node"],
  ...[
    "Index: AAAA",
    "AWS-IAM-Server-ID: x",
    "Inline-Auth-Path: auth/jwt/login",
    "Inline-Auth-Operation: update",
  ],
  ...["Inline-Auth-Namespace: root", "Inline-Auth-Parameter-0: AAAA", "Request: false", "Hostname: x"],
  ...["Raft-Peer: x", "Replication: x", "Accessor: x", "Awskms: x"],
].map((header) => `X-Vault-${header}`);

/** Sent beside a good token in `Authorization`; none may have any effect but that the request is refused. */
const HEADERS = [
  ...VAULT,
  ...VAULT.slice(0, 3).map((header) => header.replaceAll("-", "_")),
  ...["X_Vault_Token: root", "X-Vault_Token: root", "X-Vault-Token : root", "X-Vault\u2010Token: root"],
  ...["X-Vault-Token\u0000: root", "x-vault-token.: root", "XVault-Token: root", "HTTP_X_VAULT_TOKEN: root"],
  ...[
    "Proxy-Authorization: Bearer root",
    "Cookie: vault_token=root; X-Vault-Token=root",
    "Authentication: root",
  ],
  ...["X-Authorization: Bearer root", "X-Original-Authorization: Bearer root", "X-Access-Token: root"],
  // What would be dropped on the way, if the list of a hop were believed.
  ...[
    "Connection: close, X-Vault-Token",
    "Connection: close, Authorization",
    "Connection: close, X-Request-Id",
  ],
  ...["Connection: close, Content-Length", "Keep-Alive: timeout=1, max=1", "Proxy-Connection: keep-alive"],
  ...["TE: trailers, chunked", "Trailer: X-Vault-Token", "Upgrade: h2c", "Upgrade: websocket"],
  ...["HTTP2-Settings: AAAA", "Expect: 100-continue", "Expect: 200-ok"],
  ...["X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https"],
  ...["X-Forwarded-Prefix: /v1/sys", "X-Forwarded-Port: 1", "Forwarded: for=127.0.0.1;host=x", "Via: 1.1 x"],
  ...[
    "X-Real-IP: 127.0.0.1",
    "X-Client-IP: 127.0.0.1",
    "True-Client-IP: 127.0.0.1",
    "X-Cluster-Client-IP: ::1",
  ],
  ...[
    "X-HTTP-Method-Override: DELETE",
    "X-HTTP-Method: DELETE",
    "X-Method-Override: PUT",
    "X-Original-URL: /v1/sys",
  ],
  ...[
    "X-Rewrite-URL: /v1/sys/mounts",
    "X-Original-Host: x",
    "Destination: /v1/sys",
    "X-Envoy-Original-Path: /v1/sys",
  ],
  ...[
    "X-Org: org_globex",
    "X-Org-Id: org_globex",
    "X-Strongroom-Org: x",
    "X-Tenant: org_globex",
    "Host-Override: x",
  ],
  ...["X-Request-Id: chosen", "X-Correlation-Id: chosen", "Traceparent: 00-0-0-01", "Correlation-Id: chosen"],
  ...[
    "Range: bytes=0-1",
    "If-None-Match: *",
    "If-Match: x",
    "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT",
  ],
  ...["Accept-Encoding: gzip, br", "Accept: text/html", "Content-Encoding: gzip", "Content-Type: text/html"],
  ...[
    "Origin: https://evil.example",
    "Referer: https://evil.example",
    "Sec-Fetch-Mode: cors",
    "User-Agent: () { :;}",
  ],
  ...[
    "Cache-Control: only-if-cached",
    "Pragma: no-cache",
    "Max-Forwards: 0",
    "Access-Control-Request-Method: GET",
  ],
  ...[
    "__proto__: x",
    "constructor: x",
    "Content-Location: /v1/sys",
    "Transfer-Encoding: ",
    "Content-Length: 0",
  ],
];

const ask = (token: string, ...headers: string[]) => {
  const connection = headers.some((header) => /^connection:/i.test(header)) ? [] : ["Connection: close"];
  const lines = ["Host: x", `Authorization: Bearer ${token}`, ...headers, ...connection, "", ""];
  return gateway.raw(Buffer.from(["GET /v1/secret/data/app HTTP/1.1", ...lines].join("\r\n"), "utf8"));
};

/** What each request reached the Vault with: everything but the ids, which the gateway makes. */
const seen = () =>
  recorder.requests.map(({ method, url, headers: { "x-request-id": _id, ...headers }, body }) => ({
    ...{ method, url, headers },
    body: url.endsWith("/login") ? JSON.parse(body).role : body,
  }));

/** Whether a request with that header reached the Vault: then as `expected`, as without it. */
async function expectNoEffect(token: string, header: string, expected: unknown[]): Promise<boolean> {
  recorder.clear();
  const answer = await ask(token, header);
  const reached = seen();
  const same = reached.length === 0 || JSON.stringify(reached) === JSON.stringify(expected);
  corpus.count(header, { accepted: !same, forwarded: !same });
  expect.soft(answer, header).toMatch(reached.length > 0 ? /^HTTP\/1\.1 (100|200) / : /^(HTTP\/1\.1 4|$)/);
  if (reached.length > 0) expect.soft(reached, header).toEqual(expected);
  expect.soft(answer, header).not.toMatch(/access-control|chosen|evil\.example/i);
  for (const { headers } of recorder.requests) expect.soft(headers["x-request-id"]).not.toBe("chosen");
  return reached.length > 0;
}

test("a header beside the token has no effect, or the request is refused", async () => {
  const good = await ask(issuer.token({ sub: "u099" }));
  expect(good).toMatch(/^HTTP\/1\.1 200 /);
  const expected = seen();
  expect(expected).toHaveLength(2);
  for (const [i, header] of HEADERS.entries()) {
    const token = issuer.token({ sub: `u${100 + i}` });
    const first = await expectNoEffect(token, header, expected);
    // Again by the same token, which is known now: nothing has to be asked for it.
    if (!first) expect((await ask(token)).slice(0, 12)).toBe("HTTP/1.1 200");
    expect.soft(await expectNoEffect(token, header, expected.slice(1)), header).toBe(first);
  }
  expect([...corpus.accepted, ...corpus.forwarded]).toEqual([]);
});

test.each([
  "X-Vault-Token",
  "Authorization",
])("%s in any other writing is not another token's header", async (name) => {
  const token = issuer.token();
  const value = name === "Authorization" ? `Bearer ${token}` : token;
  const raw = (header: string) =>
    gateway.raw(`GET /v1/secret/data/app HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${header}\r\n\r\n`);
  expect(await raw(`${name.toUpperCase()}:${value}`)).toMatch(/^HTTP\/1\.1 200 /);
  recorder.clear();
  for (const written of [
    name.replace(/.$/, "_"),
    `${name}s`,
    `X-${name}`,
    `${name}\u0000`,
    `${name} `,
    ` ${name}`,
  ]) {
    const answer = await raw(`${written}: ${value}`);
    corpus.count(written, {
      accepted: answer.startsWith("HTTP/1.1 2"),
      forwarded: recorder.requests.length > 0,
    });
    expect.soft(answer, written).toMatch(/^HTTP\/1\.1 (400|401) /);
  }
  expect(recorder.requests).toEqual([]);
});

test("headers without end are refused in bounded time, many or large", async () => {
  const token = issuer.token();
  const [many, large] = [Array.from({ length: 3_000 }, (_, i) => `X${i}: y`), [`X: ${"y".repeat(17_000)}`]];
  for (const headers of [many, large]) {
    const answer = await ask(token, ...headers);
    corpus.count("headers without end", {
      accepted: answer.startsWith("HTTP/1.1 2"),
      forwarded: recorder.requests.length > 0,
    });
    expect(answer).toMatch(/^HTTP\/1\.1 431 /);
  }
  // Below 16 KiB, but about as many as the parser keeps: none that it drops may hide a second token.
  for (const count of [1_000, 1_990, 2_010, 2_500]) {
    const some = Array.from({ length: count }, () => "a:");
    const answer = await ask(token, ...some, `X-Vault-Token: ${issuer.token({ sub: "second" })}`);
    corpus.count(`a second token behind ${count} headers`, {
      accepted: answer.startsWith("HTTP/1.1 2"),
      forwarded: recorder.requests.length > 0,
    });
    expect(answer).toMatch(/^HTTP\/1\.1 (401|431) /);
  }
  expect([...corpus.accepted, ...corpus.forwarded]).toEqual([]);
});

import { randomUUID } from "node:crypto";
import type { AddressInfo } from "node:net";
import { connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, onTestFinished } from "vitest";
import { newOrgId } from "../../services/shared/org.ts";
import { issueOrgCertificate } from "../../services/shared/vault/pki.ts";
import { test } from "../harness/fixtures.ts";
import { type Answer, startGateway, type TestGateway } from "../harness/gateway.ts";
import { answerAsVault, type Recorder, startRecorder } from "../harness/recorder.ts";
import type { TestIssuer } from "../harness/tokens.ts";
import type { InternalVault } from "../harness/vault.ts";

let internal: InternalVault;
let issuer: TestIssuer;
let acme: Recorder;
let globex: Recorder;
let gateway: TestGateway;
let token: string;
test.beforeAll(({ recordedOrgs }) => {
  ({ internal, issuer, acme, globex } = recordedOrgs);
});
beforeEach(async () => {
  token = issuer.token({ sub: randomUUID() });
  for (const recorder of [acme, globex]) {
    recorder.clear();
    recorder.answer = undefined;
  }
  gateway = await gatewayTo(acme.address);
});
afterEach(() => gateway.close());

const PATH = "/v1/secret/data/app/db";

const gatewayTo = (address: string, ca = internal.ca) =>
  startGateway({ issuers: [issuer], ca, orgs: [{ id: acme.org, claim: "org_acme", address }] });

function expectUnavailable(answer: Answer): void {
  expect(answer).toMatchObject({
    status: 503,
    headers: { "content-type": "application/json", "retry-after": "1" },
  });
  expect(answer.json.errors).toHaveLength(1);
  expect(answer.text).not.toMatch(/127\.0\.0\.1|ECONN|CERT|strongroom\.internal/);
}

/** Whatever listens there instead: records the bytes that it is sent. */
async function listener(
  react: (socket: Socket) => void,
): Promise<{ address: string; bytes: () => string; connections: () => number }> {
  const chunks: Buffer[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const server: Server = createServer((socket) => {
    connections++;
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("data", (chunk) => chunks.push(chunk));
    react(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    address: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    bytes: () => Buffer.concat(chunks).toString("latin1"),
    connections: () => connections,
  };
}

describe("an address that is not the organization's Vault gets no token", () => {
  test("another organization's Vault, whose certificate is as good as acme's but not acme's", async () => {
    await gateway.publish([{ id: acme.org, claim: "org_acme", address: globex.address }]);
    expectUnavailable(await gateway.call("GET", PATH, { token }));
    expect(globex.connections).toBe(1);
    expect(globex.requests).toEqual([]);
    expect(gateway.log().at(-1)).toMatchObject({
      reason: "org_vault_unavailable",
      cause: "ERR_TLS_CERT_ALTNAME_INVALID",
    });
  });

  test("also after acme's was reached at its own", async () => {
    expect((await gateway.call("GET", PATH, { token })).status).toBe(200);
    await gateway.publish([{ id: acme.org, claim: "org_acme", address: globex.address }]);
    expectUnavailable(await gateway.call("GET", PATH, { token }));
    expect(globex.requests).toEqual([]);
  });

  test("a certificate for acme's name by another authority", async () => {
    const { certificate } = await issueOrgCertificate(internal.controlPlane, newOrgId(), 3600);
    const stranger = await gatewayTo(acme.address, certificate);
    onTestFinished(() => stranger.close());
    expectUnavailable(await stranger.call("GET", PATH, { token }));
    expect(acme.requests).toEqual([]);
  });

  test("a certificate by our authority for acme's name, of another key than the directory names", async () => {
    const thief = await startRecorder(internal, acme.org);
    onTestFinished(() => thief.close());
    const entry = { id: acme.org, claim: "org_acme", serverKey: acme.serverKey };
    await gateway.publish([{ ...entry, address: acme.address }]);
    expect((await gateway.call("GET", PATH, { token })).status).toBe(200);
    await gateway.publish([{ ...entry, address: thief.address }]);
    for (let i = 0; i < 3; i++) expectUnavailable(await gateway.call("GET", PATH, { token }));
    expect(thief.connections).toBe(3);
    expect(thief.requests).toEqual([]);
    expect(gateway.log().at(-1)).toMatchObject({
      reason: "org_vault_unavailable",
      cause: "SERVER_KEY_UNKNOWN",
    });
    await gateway.publish([{ ...entry, address: acme.address }]);
    expect((await gateway.call("GET", PATH, { token })).status).toBe(200);
  });

  test("the right key behind another organization's name", async () => {
    const entry = { id: acme.org, claim: "org_acme", serverKey: globex.serverKey };
    await gateway.publish([{ ...entry, address: globex.address }]);
    expectUnavailable(await gateway.call("GET", PATH, { token }));
    expect(globex.requests).toEqual([]);
    expect(gateway.log().at(-1)).toMatchObject({ cause: "ERR_TLS_CERT_ALTNAME_INVALID" });
  });

  test("something that speaks plain HTTP", async () => {
    const plain = await listener((socket) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"));
    await gateway.publish([{ id: acme.org, claim: "org_acme", address: plain.address }]);
    expectUnavailable(await gateway.call("GET", PATH, { token }));
    expect(plain.bytes().charCodeAt(0)).toBe(0x16); // a TLS hello
    for (const secret of [token.slice(0, 20), "vault", "GET"]) expect(plain.bytes()).not.toContain(secret);
    expect(plain.connections()).toBe(1);
  });
});

describe("a Vault that does not answer is tried once", () => {
  test("nothing listens there", async () => {
    const closed = await startRecorder(internal, acme.org);
    await closed.close();
    await gateway.publish([{ id: acme.org, claim: "org_acme", address: closed.address }]);
    expectUnavailable(await gateway.call("GET", PATH, { token }));
  });

  test("it hangs up at once, or never says a word", async () => {
    const rude = await listener((socket) => socket.destroy());
    await gateway.publish([{ id: acme.org, claim: "org_acme", address: rude.address }]);
    expectUnavailable(await gateway.call("GET", PATH, { token }));
    expect(rude.connections()).toBe(1);

    const mute = await listener(() => {});
    await gateway.publish([{ id: acme.org, claim: "org_acme", address: mute.address }]);
    const began = performance.now();
    expect((await gateway.call("GET", PATH, { token })).status).toBe(504);
    expect(performance.now() - began).toBeLessThan(6_000);
    expect(mute.connections()).toBe(1);
  });

  test.each(["GET", "POST"])("it hangs up in the middle of a %s", async (method) => {
    acme.answer = (request, response) => {
      if (request.url.endsWith("/login")) answerAsVault(request, response);
      else response.socket?.destroy();
    };
    const body = method === "POST" ? { body: { data: {} } } : {};
    expectUnavailable(await gateway.call(method, PATH, { token, ...body }));
    expect(acme.requests.filter(({ url }) => url === PATH)).toHaveLength(1);
  });

  test.each([500, 502, 503, 301, 307])("it answers %i", async (status) => {
    acme.answer = (request, response) => {
      if (request.url.endsWith("/login")) answerAsVault(request, response);
      else
        response
          .writeHead(status, { Location: "https://10.0.0.1/" })
          .end('{"errors":["details of its inside"]}');
    };
    const answer = await gateway.call("GET", PATH, { token });
    expectUnavailable(answer);
    expect(answer.headers.location).toBeUndefined();
    expect(answer.text).not.toContain("inside");
    expect(acme.requests.filter(({ url }) => url === PATH)).toHaveLength(1);
  });

  test("its answer breaks off: so does the caller's, which must not look whole", async () => {
    acme.answer = (request, response) => {
      if (request.url.endsWith("/login")) return answerAsVault(request, response);
      response.writeHead(200, { "Content-Type": "application/json" });
      response.write('{"data":', () => response.socket?.destroy());
    };
    await expect(gateway.call("GET", PATH, { token })).rejects.toMatchObject({ code: "ECONNRESET" });
    await expect
      .poll(() => gateway.log().at(-1))
      .toMatchObject({ status: 200, reason: "org_vault_unavailable" });
  });

  test("a connection that it closed while nobody used it is no error", async () => {
    expect((await gateway.call("GET", PATH, { token })).status).toBe(200);
    acme.hangUp();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect((await gateway.call("GET", PATH, { token })).status).toBe(200);
  });
});

test("a caller that goes away during its login leaves nothing behind", async () => {
  let login: (() => void) | undefined;
  acme.answer = (request, response) => {
    if (!request.url.endsWith("/login")) response.end(JSON.stringify({ data: "x".repeat(1_000_000) }));
    else login = () => answerAsVault(request, response);
  };
  const socket = connect(Number(new URL(gateway.url).port), "127.0.0.1");
  socket.write(`GET ${PATH} HTTP/1.1\r\nHost: x\r\nX-Vault-Token: ${token}\r\n\r\n`);
  await expect.poll(() => login).toBeDefined();
  socket.destroy();
  await expect.poll(() => gateway.log().at(-1)).toMatchObject({ status: 499, reason: "caller_gone" });
  login?.();
  expect((await gateway.call("GET", PATH, { token })).status).toBe(200);
});

test("a large answer passes whole, and a caller that goes away ends it", async () => {
  // More than the buffers of both connections hold.
  const keys = Array.from({ length: 24 }, (_, i) => `${i}`.repeat(500_000));
  const body = JSON.stringify({ data: { keys } });
  let closed = 0;
  acme.answer = (request, response) => {
    if (request.url.endsWith("/login")) return answerAsVault(request, response);
    response.on("close", () => {
      if (!response.writableFinished) closed++;
    });
    response.writeHead(200).end(body);
  };
  const list = "/v1/secret/metadata/app?list=true";
  const whole = await gateway.call("GET", list, { token });
  expect(whole.json.data?.keys).toHaveLength(keys.length);

  const socket = connect(Number(new URL(gateway.url).port), "127.0.0.1");
  socket.on("error", () => {});
  socket.write(`GET ${list} HTTP/1.1\r\nHost: x\r\nX-Vault-Token: ${token}\r\n\r\n`);
  await new Promise((resolve) => socket.once("data", resolve));
  socket.pause();
  socket.destroy();
  await expect.poll(() => gateway.log().filter(({ route }) => route === "secret/metadata").length).toBe(2);
  expect(gateway.log().at(-1)).toMatchObject({ reason: expect.stringMatching(/caller_gone|org_vault/) });
  await expect.poll(() => closed).toBe(1);
  expect((await gateway.call("GET", list, { token })).status).toBe(200);
});

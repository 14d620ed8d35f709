import { X509Certificate } from "node:crypto";
import { afterAll, beforeAll, beforeEach, expect, inject, test } from "vitest";
import {
  loginWithCertificate,
  makeClientCertificate,
} from "../../../services/cli/platform/client-certificate.ts";
import { type Recorder, startRecorder } from "../../harness/recorder.ts";
import { type InternalVault, startInternalVault } from "../../harness/vault.ts";

let internal: InternalVault;
/** Stands where an organization's Vault would. */
let server: Recorder;
beforeAll(async () => {
  internal = await startInternalVault(inject("vaultBinary"));
  server = await startRecorder(internal);
});
afterAll(async () => {
  await server?.close();
  await internal?.stop();
});
beforeEach(() => {
  server.hangUp();
  server.clear();
  server.answer = ({ url }, response) => {
    const isLogin = url.endsWith("/login");
    const body = isLogin
      ? { auth: { client_token: "hvs.of-this-connection", lease_duration: 60 } }
      : { data: {} };
    response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(body));
  };
});

async function logIn() {
  const client = await makeClientCertificate(await internal.operator(), "platform-maintain", server.org);
  const endpoint = {
    address: server.address,
    ca: internal.ca,
    serverName: `${server.org}.org.strongroom.internal`,
  };
  return loginWithCertificate(endpoint, "platform-maintain", client);
}

test("each certificate has a key of its own, and names the organization alone", async () => {
  const operator = await internal.operator();
  const [one, other] = [
    await makeClientCertificate(operator, "platform-maintain", server.org),
    await makeClientCertificate(operator, "platform-maintain", server.org),
  ];
  const [first, second] = [one, other].map(({ certificate }) => new X509Certificate(certificate));
  expect(first?.subject).toBe(`CN=${server.org}`);
  expect(first?.publicKey.equals(second?.publicKey as never)).toBe(false);
  expect(`${one.key}`).toBe("[secret]");
});

test("the login goes out without a token, and all that follows goes over its connection, also at once", async () => {
  const vault = await logIn();
  await Promise.all(Array.from({ length: 20 }, (_, n) => vault.read(`sys/policies/acl/p${n}`)));
  await vault.write("sys/policies/acl/p", { policy: "" });
  expect(server.connections).toBe(1);
  const [login, ...others] = server.requests;
  expect(login).toMatchObject({
    url: "/v1/auth/platform-maintain/login",
    body: '{"name":"platform-maintain"}',
  });
  expect(login?.headers["x-vault-token"]).toBeUndefined();
  expect(others).toHaveLength(21);
  for (const { headers } of others) expect(headers["x-vault-token"]).toBe("hvs.of-this-connection");
});

test("once that connection has ended, the token is sent on no other", async () => {
  const vault = await logIn();
  server.hangUp();
  await expect(vault.read("sys/mounts")).rejects.toThrow(/no answer from Vault/);
  await expect(vault.read("sys/mounts")).rejects.toMatchObject({ code: "CONNECTION_ENDED" });
  expect(server.connections).toBe(1);
  expect(server.requests.map(({ url }) => url)).toEqual(["/v1/auth/platform-maintain/login"]);
});

test("nor are the requests that wait behind one that breaks off", async () => {
  const vault = await logIn();
  server.answer = (_, response) => void response.socket?.destroy();
  const asked = await Promise.allSettled(Array.from({ length: 8 }, () => vault.read("sys/mounts")));
  expect(asked.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => "rejected"));
  expect(server.connections).toBe(1);
  expect(server.requests).toHaveLength(2);
});

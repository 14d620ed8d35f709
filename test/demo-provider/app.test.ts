import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { request } from "node:https";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { selfSignedCertificate } from "../../services/cli/platform/self-signed-certificate.ts";
import { buildDemoProvider } from "../../services/demo-provider/app.ts";
import { createLogger } from "../../services/shared/log.ts";

const { certificate: cert, key } = selfSignedCertificate("provider.strongroom.test", 1);
const app = buildDemoProvider(createLogger("demo-provider", "fatal"), { cert, key });
beforeAll(async () => void (await app.listen({ host: "127.0.0.1", port: 0 })));
afterAll(() => app.close());

/** Asks over TLS, trusting the provider's own certificate and no other. */
async function ask(method: string, path: string, headers: Record<string, string> = {}, body?: object) {
  const { port } = app.server.address() as AddressInfo;
  const sent = request({
    host: "127.0.0.1",
    port,
    servername: "provider.strongroom.test",
    ca: cert,
    method,
    path,
    headers: { ...headers, ...(body && { "content-type": "application/json" }) },
  });
  sent.end(body && JSON.stringify(body));
  const [response] = await once(sent, "response");
  const isJson = String(response.headers["content-type"]).startsWith("application/json");
  return {
    status: response.statusCode,
    headers: response.headers,
    body: isJson ? await json(response) : void response.resume(),
  };
}
const bearer = (value: string) => ({ authorization: `Bearer ${value}` });

test("it says who it saw, the same for the same key, and never the key", async () => {
  const acme = await ask("GET", "/v1/me", bearer("sk_acme"));
  expect(acme).toMatchObject({
    status: 200,
    body: { account: expect.stringMatching(/^acct_[0-9a-f]{12}$/) },
  });
  expect((await ask("GET", "/v1/me", bearer("sk_acme"))).body).toEqual(acme.body);
  expect((await ask("GET", "/v1/me", bearer("sk_globex"))).body).not.toEqual(acme.body);
  expect(await ask("GET", "/v1/me")).toMatchObject({ status: 401 });
});

test("a key makes others of its account, and revokes them, itself too", async () => {
  const root = "sk_root_0123456789";
  const me = async (key: string) =>
    (await ask("GET", "/v1/me", bearer(key))).body as { account: string; key: string };
  const { account } = await me(root);
  expect(await me(root)).toEqual({ account, key: "root" });
  const made = await ask("POST", "/v1/keys", bearer(root), {});
  expect(made).toMatchObject({ status: 201, body: { id: expect.stringMatching(/^[0-9a-f]{12}$/) } });
  const { id, key } = made.body as { id: string; key: string };
  expect(await me(key)).toEqual({ account, key: id });
  expect((await ask("GET", "/v1/me", bearer(`sk_${id}_guessed`))).status).toBe(401);
  expect((await ask("DELETE", "/v1/keys/root", bearer(key))).status).toBe(204);
  expect((await ask("GET", "/v1/me", bearer(root))).status).toBe(401);
  expect((await ask("DELETE", `/v1/keys/${id}`, bearer(root))).status).toBe(401);
  expect(await me(key)).toEqual({ account, key: id });
  expect((await ask("POST", "/v1/keys")).status).toBe(401);
});

test("the echo has the key in clear, and in base64url in a header", async () => {
  const { body, headers } = await ask("GET", "/v1/echo", bearer("sk_acme"));
  expect(body).toEqual({ authorization: "Bearer sk_acme" });
  expect(Buffer.from(headers["x-echo"], "base64url").toString()).toBe("Bearer sk_acme");
});

test("it charges once for each idempotency key", async () => {
  const charge = (idempotency: string) =>
    ask("POST", "/v1/charges", { ...bearer("sk_acme"), "idempotency-key": idempotency }, { amount: 5 });
  const first = await charge("one");
  expect(first).toMatchObject({ status: 200, body: { amount: 5 } });
  expect((await charge("one")).body).toEqual(first.body);
  expect((await charge("two")).body).not.toEqual(first.body);
  expect(await ask("POST", "/v1/charges", bearer("sk_acme"), { amount: 5 })).toMatchObject({ status: 400 });
});

test("its certificate is for its name alone, and no authority", () => {
  const { subjectAltName, ca, validToDate } = new X509Certificate(cert);
  expect(subjectAltName).toBe("DNS:provider.strongroom.test");
  expect(ca).toBe(false);
  expect(validToDate.getTime()).toBeGreaterThan(Date.now());
});

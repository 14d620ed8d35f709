import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { revokeSelf } from "../../../services/gateway/answer/revoke-self.ts";
import type { RevocationSource } from "../../../services/shared/front/published/revocation-source.ts";

const org = { id: "o", issuer: "https://a.test/", claim: "org_acme", address: "https://x:1" };
/** What the control plane was asked, each with its body. */
let asked: Pick<IncomingMessage, "method" | "url" | "headers">[];
let bodies: unknown[];
/** What was revoked at this gateway. */
let added: unknown[];
let server: Server;
beforeEach(async () => {
  [asked, bodies, added] = [[], [], []];
  /** Answers the status in the path, and `/hang` never. */
  server = createServer(async (request, response) => {
    asked.push(request);
    let body = "";
    for await (const chunk of request) body += chunk;
    bodies.push(JSON.parse(body));
    if (request.url !== "/hang")
      response.writeHead(Number(request.url?.slice(1)), { location: "/204" }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

const addressOf = (path: string) => `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;
const revoke = (path: string) => {
  const list = { add: (...entry: unknown[]) => added.push(entry) } as unknown as RevocationSource;
  return revokeSelf(list, addressOf(path), org, { key: "digest", expiresAt: 9 });
};

test("the control plane is told the organization, the digest and the end of a token", async () => {
  await revoke("/204");
  expect(asked).toMatchObject([{ method: "POST", headers: { "content-type": "application/json" } }]);
  expect(bodies).toEqual([{ org: "o", token: "digest", expiresAt: 9 }]);
  expect(added).toEqual([[org, "digest", 9]]);
});

test.each([
  ["/429", "too_many_requests", 429],
  ["/200", "revocations_unavailable", 200],
  ["/500", "revocations_unavailable", 500],
  ["/302", "revocations_unavailable", expect.any(TypeError)],
])("told by %s that others could not be told, it says so, and here it is revoked", async (path, code, cause) => {
  const message =
    "The token is revoked at this gateway, but the other gateways could not be notified. Repeat the request.";
  await expect(revoke(path)).rejects.toMatchObject({ code, message, cause });
  expect(added).toEqual([[org, "digest", 9]]);
  // Nor is another asked in its place.
  expect(asked).toHaveLength(1);
});

test("the control plane has five seconds to answer", async () => {
  const passed = AbortSignal.timeout(100);
  const timeout = vi.spyOn(AbortSignal, "timeout").mockReturnValue(passed);
  onTestFinished(() => timeout.mockRestore());
  await expect(revoke("/hang")).rejects.toMatchObject({
    code: "revocations_unavailable",
    cause: { name: "TimeoutError" },
  });
  expect(timeout.mock.calls).toEqual([[5_000]]);
  expect(added).toHaveLength(1);
});

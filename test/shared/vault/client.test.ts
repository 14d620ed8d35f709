import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { inspect } from "node:util";
import { afterEach, expect, test, vi } from "vitest";
import { Secret } from "../../../services/shared/secret.ts";
import {
  ifFound,
  VaultError,
  VaultUnreachableError,
  vaultClient,
} from "../../../services/shared/vault/client.ts";

const TOKEN = "hvs.not-to-be-seen";
const servers: Server[] = [];

afterEach(async () => {
  vi.unstubAllEnvs();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const client = (address: string, timeoutMs?: number) =>
  vaultClient({ address }, () => new Secret(TOKEN), timeoutMs);

const errorOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => undefined,
    (error: unknown) => error,
  );

test("asks below /v1 with the token of the moment, and lists by GET", async () => {
  const seen: unknown[] = [];
  const address = await serve((request, response) => {
    seen.push([request.method, request.url, request.headers["x-vault-token"]]);
    response.end('{"data":{}}');
  });
  let turn = 0;
  const renewing = vaultClient({ address }, () => new Secret(`token-${turn++}`));
  await renewing.read("sys/mounts");
  await renewing.list("secret/metadata");
  await renewing.write("secret/data/a", { data: {} });
  await renewing.delete("secret/data/a");
  expect(seen).toEqual([
    ["GET", "/v1/sys/mounts", "token-0"],
    ["GET", "/v1/secret/metadata?list=1", "token-1"],
    ["POST", "/v1/secret/data/a", "token-2"],
    ["DELETE", "/v1/secret/data/a", "token-3"],
  ]);
});

test("follows no redirect: the token goes nowhere else", async () => {
  let reached = false;
  const elsewhere = await serve((_, response) => {
    reached = true;
    response.end("{}");
  });
  const address = await serve((_, response) => {
    response.writeHead(307, { location: `${elsewhere}/v1/x` }).end();
  });
  expect(await errorOf(client(address).read("x"))).toMatchObject({ status: 307 });
  expect(reached).toBe(false);
});

test("takes no proxy, address, token or namespace from the environment", async () => {
  let proxied = false;
  const proxy = await serve((_, response) => {
    proxied = true;
    response.end("{}");
  });
  for (const name of ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "VAULT_ADDR"]) vi.stubEnv(name, proxy);
  vi.stubEnv("VAULT_TOKEN", "from-the-environment");
  vi.stubEnv("VAULT_NAMESPACE", "from-the-environment");
  let headers: object | undefined;
  const address = await serve((request, response) => {
    headers = request.headers;
    response.end("{}");
  });
  await vaultClient({ address }).read("sys/seal-status");
  expect(proxied).toBe(false);
  expect(inspect(headers)).not.toContain("from-the-environment");
});

test("gives Vault's status and messages, and nothing of the request", async () => {
  const address = await serve((_, response) => {
    response.writeHead(403).end('{"errors":["permission denied"]}');
  });
  const error = await errorOf(client(address).write("sys/x", { password: "s3cret" }));
  expect(error).toBeInstanceOf(VaultError);
  expect(error).toMatchObject({ status: 403, errors: ["permission denied"] });
  expect(inspect(error, { depth: 10, showHidden: true })).not.toMatch(/not-to-be-seen|s3cret/);
});

test("an answer that is not Vault's gives its status alone", async () => {
  const address = await serve((_, response) => {
    response.writeHead(502).end("<html>not-vault</html>");
  });
  const error = await errorOf(client(address).read("sys/mounts"));
  expect(error).toMatchObject({ status: 502, errors: [] });
  expect(inspect(error)).not.toContain("not-vault");
});

test("nobody there, silence, and an endless answer are all unreachable", async () => {
  expect(await errorOf(client("http://127.0.0.1:9").read("x"))).toMatchObject({ code: "ECONNREFUSED" });

  const silent = await serve(() => {});
  expect(await errorOf(client(silent, 100).read("x"))).toBeInstanceOf(VaultUnreachableError);

  const endless = await serve((_, response) => {
    const more = () => {
      while (response.write("x".repeat(65_536)));
    };
    response.on("drain", more);
    more();
  });
  expect(await errorOf(client(endless).read("x"))).toMatchObject({
    code: "UND_ERR_RES_EXCEEDED_MAX_SIZE",
  });
});

test("ifFound turns 404 alone into undefined", async () => {
  const status = (code: number) => Promise.reject(new VaultError("read x", code, []));
  expect(await ifFound(status(404))).toBeUndefined();
  await expect(ifFound(status(403))).rejects.toMatchObject({ status: 403 });
});

import { expect, inject, test } from "vitest";
import { Agent } from "undici";
import { startIssuer } from "../harness/tokens.ts";
import { startInternalVault, startOrgVault } from "../harness/vault.ts";
test("x", async () => {
  const [internal, issuer] = await Promise.all([startInternalVault(inject("vaultBinary")), startIssuer()]);
  const acme = await startOrgVault(internal, { claim: "org_acme", issuer });
  const { ca, serverName, address } = acme.endpoint;
  const agent = new Agent({ connect: { ca: ca ?? "", servername: serverName ?? "" } });
  const go = async (method: string, path: string, body: string) => {
    const type = method === "PATCH" ? "application/merge-patch+json" : "application/json";
    const headers = { "x-vault-token": acme.rootToken.reveal(), "content-type": type };
    const r = await agent.request({ origin: address, path: `/v1/secret/${path}`, method: method as "POST", headers, body });
    console.log(method, path, body.slice(0, 60), body.length, r.statusCode, (await r.body.text()).slice(0, 300));
  };
  await go("POST", "data/f", '{"data":{"a":1}}');
  for (const n of [-1, 0, 4294967295, 4294967296, 1e308, -1.5, 1.5, "1.5", true, null, [], {}]) {
    await go("PATCH", "metadata/f", JSON.stringify({ max_versions: n }));
    await go("POST", "metadata/f", JSON.stringify({ max_versions: n }));
  }
  for (const k of [1048576, 1048000, 1047000, 1040000]) await go("POST", "data/x", JSON.stringify({ data: { a: "x".repeat(k - 30) } }));
  await go("POST", "data/x", JSON.stringify({ data: { a: "<".repeat(400000) } }));
  await go("POST", "data/x", JSON.stringify({ data: { a: "<".repeat(170000) } }));
  await go("POST", "metadata/x", JSON.stringify({ custom_metadata: { a: "<".repeat(170000) } }));
  await agent.close(); await acme.stop(); await issuer.close(); await internal.stop();
  expect(1).toBe(1);
});

import { afterAll, beforeAll, expect, test } from "vitest";
import { selfSignedCertificate } from "../../services/cli/platform/self-signed-certificate.ts";
import { newOrgId } from "../../services/shared/org.ts";
import { startGateway, type TestGateway } from "../harness/gateway.ts";
import { startIssuer, type TestIssuer } from "../harness/tokens.ts";

let issuer: TestIssuer;
let gateway: TestGateway;
beforeAll(async () => {
  issuer = await startIssuer();
  const { certificate } = selfSignedCertificate("vault.example.com", 1);
  const orgs = [{ id: newOrgId(), claim: "org_acme", address: "https://127.0.0.1:1" }];
  gateway = await startGateway({ issuers: [issuer], ca: certificate, orgs });
});
afterAll(async () => {
  await gateway?.close();
  await issuer?.close();
});

const ROUTES = [
  ["GET", "/v1/secret/data/app"],
  ["POST", "/v1/secret/data/app"],
  ["DELETE", "/v1/secret/data/app"],
  ["LIST", "/v1/secret/metadata/"],
  ["GET", "/v1/secret/metadata/app"],
  ["GET", "/v1/auth/token/lookup-self"],
  ["POST", "/v1/auth/token/renew-self"],
  ["POST", "/v1/sys/capabilities-self"],
  ["POST", "/v1/auth/token/create"],
] as const;

test.each(
  ["rotation-operator", "auditor"].flatMap((group) => ROUTES.map((route) => [group, ...route] as const)),
)("a token of %s alone: %s %s is refused, before any Vault is asked", async (group, method, path) => {
  const { orgClaim, groupsClaim } = issuer.issuer;
  const token = issuer.token({ [orgClaim]: "org_acme", [groupsClaim]: [group] });
  const answer = await gateway.call(method, path, { token, ...(method === "POST" && { body: {} }) });
  expect(answer.status).toBe(403);
  // A reader's is let in: its Vault is away.
  const reader = issuer.token({ [orgClaim]: "org_acme", [groupsClaim]: ["reader"] });
  const other = await gateway.call("GET", "/v1/secret/data/app", { token: reader });
  expect(other.status).toBeGreaterThanOrEqual(500);
});

import { expect, test } from "vitest";
import { resolveOrg } from "../../services/gateway/resolve-org.ts";
import type { DirectoryOrg, LoadedDirectory } from "../../services/shared/directory/load.ts";
import type { Identity } from "../../services/shared/identity/identity.ts";

const acme: DirectoryOrg = {
  id: "oaaaaaaaaaaaaaaa",
  issuer: "https://a/",
  claim: "org_acme",
  address: "https://x:1",
};
const directory: LoadedDirectory = {
  version: 1,
  issuers: [],
  orgs: [acme],
  find: (issuer, claim) => (issuer === acme.issuer && claim === acme.claim ? acme : undefined),
  byId: (id) => (id === acme.id ? acme : undefined),
};
const identity = (issuer: string, org?: string) => ({ issuer: { issuer }, org }) as Identity;

test("by the verified pair, and by nothing less", () => {
  expect(resolveOrg(directory, identity("https://a/", "org_acme"))).toBe(acme);
  for (const [issuer, org] of [
    ["https://b/", "org_acme"],
    ["https://a/", "org_globex"],
    ["https://a/", acme.id],
  ] as const) {
    expect(() => resolveOrg(directory, identity(issuer, org))).toThrow(
      expect.objectContaining({ code: "forbidden", message: "permission denied" }),
    );
  }
});

test("a token without an organization is not accepted at all", () => {
  expect(() => resolveOrg(directory, identity("https://a/"))).toThrow(
    expect.objectContaining({ reason: "org_claim" }),
  );
});

import { describe, expect, test, vi } from "vitest";
import type { Identity } from "../../../services/shared/front/identity/authenticator.ts";
import type {
  DirectoryOrg,
  LoadedDirectory,
} from "../../../services/shared/front/published/directory-source.ts";
import { resolveOrg, resolveOrgNow } from "../../../services/shared/front/resolve-org.ts";

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

test("an organization is found only by the verified pair", () => {
  expect(resolveOrg(directory, identity("https://a/", "org_acme"))).toBe(acme);
  for (const [issuer, org] of [
    ["https://b/", "org_acme"],
    ["https://a/", "org_globex"],
    ["https://a/", acme.id],
  ] as const) {
    expect(resolveOrg(directory, identity(issuer, org))).toBeUndefined();
  }
});

test("a token without an organization is refused", () => {
  expect(() => resolveOrg(directory, identity("https://a/"))).toThrow(
    expect.objectContaining({ reason: "org_claim" }),
  );
});

describe("an organization that the loaded directory does not have", () => {
  const globex: DirectoryOrg = { ...acme, id: "obbbbbbbbbbbbbbb", claim: "org_globex" };
  const newer: LoadedDirectory = { ...directory, version: 2, orgs: [acme, globex], find: () => globex };
  const asked = (current: LoadedDirectory, isNewest: boolean) => {
    const source = { current, confirm: vi.fn(async () => isNewest) };
    return { source, found: resolveOrgNow(source, directory, identity("https://a/", "org_globex")) };
  };

  test("is found in the newest directory, which the request then uses", async () => {
    expect(await asked(newer, true).found).toEqual({ org: globex, directory: newer });
  });

  test("is unknown if the newest directory does not have it: 403", async () => {
    await expect(asked(directory, true).found).rejects.toMatchObject({ code: "forbidden", status: 403 });
  });

  test("may exist if the newest directory cannot be fetched: 503, never 403", async () => {
    await expect(asked(directory, false).found).rejects.toMatchObject({
      code: "directory_unavailable",
      status: 503,
    });
  });

  test("is fetched for; a known one is not", async () => {
    const source = { current: directory, confirm: vi.fn(async () => true) };
    await resolveOrgNow(source, directory, identity("https://a/", "org_acme"));
    expect(source.confirm).not.toHaveBeenCalled();
  });
});

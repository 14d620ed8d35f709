import { describe, expect, test } from "vitest";
import type { Directory } from "../../../services/shared/directory/directory.ts";
import {
  DirectoryRefused,
  type HeldDirectory,
  pairName,
  verifyDirectory,
} from "../../../services/shared/directory/verify.ts";
import { newOrgId } from "../../../services/shared/org.ts";
import { newDirectoryKey } from "../../harness/directory.ts";
import { tamper } from "../../harness/tokens.ts";

const key = newDirectoryKey();
const issuer = {
  issuer: "https://auth.strongroom.test/",
  audience: "api",
  jwksUri: "http://127.0.0.1:1/jwks",
  algorithms: ["RS256" as const],
  orgClaim: "org_id",
  groupsClaim: "groups",
};
const acme = { id: newOrgId(), issuer: issuer.issuer, claim: "org_acme", address: "https://127.0.0.1:20000" };
const globex = { ...acme, id: newOrgId(), claim: "org_globex", address: "https://127.0.0.1:20002" };
const base: Directory = {
  version: 5,
  issuedAt: "2026-01-01T00:00:00Z",
  issuers: [issuer],
  orgs: [acme, globex],
  deleted: [],
};

async function reason(directory: unknown, held?: HeldDirectory, header?: Record<string, unknown>) {
  try {
    await verifyDirectory(await key.sign(directory, header), key.publicKey, held);
  } catch (error) {
    expect(error).toBeInstanceOf(DirectoryRefused);
    return (error as DirectoryRefused).reason;
  }
  return "taken";
}

const holding = async (directory: Directory, before?: HeldDirectory) =>
  await verifyDirectory(await key.sign(directory), key.publicKey, before);

test("a good directory is taken", async () => {
  const { directory, pairs } = await holding(base);
  expect(directory).toEqual(base);
  expect([...pairs.values()]).toEqual([acme.id, globex.id]);
});

test.each<[string, Partial<Directory>, string]>([
  ["an older one", { version: 4 }, "the directory is refused (older): version 4, in use is 5"],
  [
    "another one of the version",
    { orgs: [acme] },
    "the directory is refused (same_version_differs): version 5",
  ],
  [
    "a pair that moved",
    { version: 6, orgs: [{ ...acme, id: globex.id }] },
    `the directory is refused (pair_moved): org_acme of ${issuer.issuer} went from ${acme.id} to ${globex.id}`,
  ],
  [
    "an unknown issuer",
    { orgs: [{ ...acme, issuer: "https://other/" }] },
    `the directory is refused (issuer_unknown): ${acme.id} has https://other/`,
  ],
  [
    "an address with a path",
    { orgs: [{ ...acme, address: "https://127.0.0.1:1/v1" }] },
    `the directory is refused (form): the address of ${acme.id} is not https://host:port`,
  ],
])("the refusal says why: %s", async (_, changes, message) => {
  const jws = await key.sign({ ...base, ...changes });
  const verdict = verifyDirectory(jws, key.publicKey, await holding(base));
  await expect(verdict).rejects.toMatchObject({ name: "DirectoryRefused", message });
});

test("a new organization is taken, and held from then on", async () => {
  const fresh = { ...acme, id: newOrgId(), claim: "org_fresh" };
  const next = { ...base, version: 6, orgs: [...base.orgs, fresh] };
  const { pairs } = await holding(next, await holding(base));
  expect(pairs.get(pairName(fresh.issuer, fresh.claim))).toBe(fresh.id);
  expect(pairName("https://a/", "b")).toBe("https://a/\nb");
});

describe("refused: what is not soundly signed", () => {
  test("another key, a changed text, no JWS at all", async () => {
    const jws = await key.sign(base);
    const other = newDirectoryKey();
    for (const bad of [
      await other.sign(base),
      tamper(jws, 1),
      tamper(jws, 2),
      `${jws}x`,
      "",
      "{}",
      JSON.stringify(base),
    ]) {
      await expect(verifyDirectory(bad, key.publicKey)).rejects.toMatchObject({ reason: "signature" });
    }
  });

  test("another kind of thing signed by the same key", async () => {
    expect(await reason(base, undefined, { typ: "JWT" })).toBe("form");
    expect(await reason(base, undefined, { typ: undefined })).toBe("form");
  });
});

describe("refused: what is not sound in itself", () => {
  test.each<[string, unknown, string]>([
    ["an unknown field", { ...base, more: 1 }, "form"],
    ["no version", { ...base, version: undefined }, "form"],
    ["a version that is text", { ...base, version: "6" }, "form"],
    ["an id that is none", { ...base, orgs: [{ ...acme, id: "acme" }] }, "form"],
    ["a plain address", { ...base, orgs: [{ ...acme, address: "http://127.0.0.1:1" }] }, "form"],
    ["an address with a path", { ...base, orgs: [{ ...acme, address: "https://127.0.0.1:1/v1" }] }, "form"],
    ["an address with a user", { ...base, orgs: [{ ...acme, address: "https://u@127.0.0.1:1" }] }, "form"],
    ["an issuer of HS256", { ...base, issuers: [{ ...issuer, algorithms: ["HS256"] }] }, "form"],
    ["an issuer twice", { ...base, issuers: [issuer, { ...issuer, audience: "x" }] }, "issuer_repeated"],
    ["an org of no issuer", { ...base, orgs: [{ ...acme, issuer: "https://other/" }] }, "issuer_unknown"],
    ["a pair twice", { ...base, orgs: [acme, { ...globex, claim: acme.claim }] }, "pair_repeated"],
    ["an org twice", { ...base, orgs: [acme, { ...globex, id: acme.id }] }, "org_repeated"],
    ["an org that is deleted", { ...base, deleted: [acme.id] }, "org_deleted"],
    ["a list", [base], "form"],
  ])("%s", async (_name, directory, expected) => {
    expect(await reason(directory)).toBe(expected);
  });
});

describe("held against the one in use", () => {
  test("newer is taken, older is not, the same version only if it says the same", async () => {
    const held = await holding(base);
    expect(await reason({ ...base, version: 6 }, held)).toBe("taken");
    expect(await reason({ ...base, version: 5 }, held)).toBe("taken");
    expect(await reason({ ...base, version: 4 }, held)).toBe("older");
    expect(await reason({ ...base, orgs: [acme] }, held)).toBe("same_version_differs");
  });

  test("acme's pair given to globex's id, or to a new one, is refused while acme lives", async () => {
    const held = await holding(base);
    const swapped = { ...base, version: 6, orgs: [{ ...globex, claim: acme.claim }] };
    expect(await reason(swapped, held)).toBe("pair_moved");
    const fresh = { ...acme, id: newOrgId() };
    expect(await reason({ ...base, version: 6, orgs: [fresh, globex] }, held)).toBe("pair_moved");
  });

  test("the pair of a deleted org may be given to another id", async () => {
    const held = await holding(base);
    const again = { ...acme, id: newOrgId() };
    expect(await reason({ ...base, version: 9, orgs: [again, globex], deleted: [acme.id] }, held)).toBe(
      "taken",
    );
  });

  test("a pair that was left out for a while is known still", async () => {
    const without = await holding({ ...base, version: 6, orgs: [globex] }, await holding(base));
    const moved = { ...base, version: 7, orgs: [{ ...acme, id: newOrgId() }, globex] };
    expect(await reason(moved, without)).toBe("pair_moved");
    expect(await reason({ ...base, version: 7 }, without)).toBe("taken");
  });

  test("an address may change: its certificate has to prove it", async () => {
    const moved = { ...base, version: 6, orgs: [{ ...acme, address: "https://127.0.0.1:9" }, globex] };
    expect(await reason(moved, await holding(base))).toBe("taken");
  });
});

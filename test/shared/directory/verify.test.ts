import { decodeProtectedHeader } from "jose";
import { describe, expect, test } from "vitest";
import type { Directory } from "../../../services/shared/directory/directory.ts";
import {
  DirectoryRefused,
  type HeldDirectory,
  movedPairs,
  pairName,
  verifyDirectory,
} from "../../../services/shared/directory/verify.ts";
import { newOrgId } from "../../../services/shared/org.ts";
import { newDirectoryKey } from "../../harness/directory.ts";
import { tamper } from "../../harness/tokens.ts";

const directoryKey = newDirectoryKey();
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
    await verifyDirectory(await directoryKey.sign(directory, header), directoryKey.keys, held);
  } catch (error) {
    expect(error).toBeInstanceOf(DirectoryRefused);
    return (error as DirectoryRefused).reason;
  }
  return "taken";
}

const holding = async (directory: Directory, before?: HeldDirectory) =>
  await verifyDirectory(await directoryKey.sign(directory), directoryKey.keys, before);

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
  const jws = await directoryKey.sign({ ...base, ...changes });
  const verdict = verifyDirectory(jws, directoryKey.keys, await holding(base));
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
    const jws = await directoryKey.sign(base);
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
      await expect(verifyDirectory(bad, directoryKey.keys)).rejects.toMatchObject({
        reason: "signature",
      });
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

  const key = (letter: string) => letter.repeat(43);
  const keyed = { ...acme, serverKey: key("A") };

  test("a living organization's Vault keeps its key: another, or none, is refused wherever it is", async () => {
    const held = await holding({ ...base, orgs: [keyed, globex] });
    const next = { ...base, version: 6 };
    const moved = { ...keyed, address: "https://127.0.0.1:9" };
    expect(await reason({ ...next, orgs: [moved, globex] }, held)).toBe("taken");
    expect(await reason({ ...next, orgs: [{ ...moved, serverKey: key("B") }] }, held)).toBe("key_changed");
    expect(await reason({ ...next, orgs: [acme, globex] }, held)).toBe("key_changed");
    const renamed = { ...keyed, claim: "org_other", serverKey: key("B") };
    expect(await reason({ ...next, orgs: [renamed] }, held)).toBe("key_changed");
    const jws = await directoryKey.sign({ ...next, orgs: [{ ...keyed, serverKey: key("B") }] });
    await expect(verifyDirectory(jws, directoryKey.keys, held)).rejects.toThrow(
      `the directory is refused (key_changed): the Vault of ${acme.id} would have another key than it had`,
    );
  });

  test("a key that was left out for a while, with its organization or as deleted, is known still", async () => {
    const held = await holding({ ...base, orgs: [keyed, globex] });
    const without = await holding({ ...base, version: 6, orgs: [globex], deleted: [acme.id] }, held);
    const back = { ...base, version: 7, orgs: [{ ...keyed, serverKey: key("B") }, globex] };
    expect(await reason(back, without)).toBe("key_changed");
    expect(await reason({ ...base, version: 7, orgs: [keyed, globex] }, without)).toBe("taken");
  });

  test("one that had no key may get one, once; what follows a deleted one has its own", async () => {
    const held = await holding({ ...base, version: 6, orgs: [keyed, globex] }, await holding(base));
    expect([...held.serverKeys]).toEqual([[acme.id, key("A")]]);
    const again = { ...acme, id: newOrgId(), serverKey: key("B") };
    const next = { ...base, version: 7, orgs: [again, globex] };
    expect(await reason(next, held)).toBe("pair_moved");
    expect(await reason({ ...next, deleted: [acme.id] }, held)).toBe("taken");
    expect(movedPairs(await holding({ ...next, deleted: [acme.id] }, held), held)).toEqual([
      { from: acme.id, to: again.id },
    ]);
    expect(movedPairs(held, held)).toEqual([]);
    expect(movedPairs(held, undefined)).toEqual([]);
  });

  test("an issuer's tokens are read by one claim for good: by another they would belong to others", async () => {
    const held = await holding(base);
    const issuers = [{ ...issuer, orgClaim: "azp" }];
    const fresh = { ...acme, id: newOrgId(), claim: "client_1" };
    const next = { ...base, version: 6, issuers, orgs: [...base.orgs, fresh] };
    expect(await reason(next, held)).toBe("org_claim_changed");
    const without = await holding({ ...base, version: 6, issuers: [], orgs: [] }, held);
    expect(await reason({ ...next, version: 7 }, without)).toBe("org_claim_changed");
    const added = { ...issuer, issuer: "https://other.test/", orgClaim: "azp" };
    expect(await reason({ ...next, issuers: [issuer, added] }, held)).toBe("taken");
    const other = { ...issuer, jwksUri: "http://127.0.0.1:2/jwks", groupsClaim: "roles" };
    expect(await reason({ ...next, issuers: [other] }, held)).toBe("taken");
  });

  test.each(["A".repeat(42), "A".repeat(44), `${"A".repeat(42)}=`, ""])("%s is no key", async (serverKey) => {
    expect(await reason({ ...base, orgs: [{ ...acme, serverKey }] })).toBe("form");
  });

  test("an address may change: its certificate has to prove it", async () => {
    const moved = { ...base, version: 6, orgs: [{ ...acme, address: "https://127.0.0.1:9" }, globex] };
    expect(await reason(moved, await holding(base))).toBe("taken");
  });
});

describe("who owns a known organization", () => {
  const { signOwnership } = directoryKey;
  const said = (claim: string, serial: number, changes = {}) =>
    signOwnership({ org: acme.id, issuer: issuer.issuer, claim, serial, ...changes });
  const owned = (version: number, claim: string, statement?: string): Directory => ({
    ...base,
    version,
    orgs: [{ ...acme, claim, ...(statement !== undefined && { statement }) }, globex],
  });

  test("another takes a statement of an operator, for exactly this organization, issuer and claim", async () => {
    const held = await holding(base);
    expect(held.owners.get(acme.id)).toEqual({ pair: pairName(acme.issuer, "org_acme"), serial: 0 });
    const ajax = await said("org_ajax", 2);
    const stranger = newDirectoryKey();
    const ownership = { org: acme.id, issuer: issuer.issuer, claim: "org_ajax", serial: 2 };
    for (const bad of [
      undefined,
      "",
      "a.b.c",
      tamper(ajax, 1),
      tamper(ajax, 2),
      await stranger.signOwnership(ownership),
      await directoryKey.sign(ownership, { typ: "strongroom-ownership+jws" }),
      await signOwnership(ownership, { typ: "strongroom-directory+jws" }),
      await said("org_acme", 2),
      await said("org_ajax", 2, { org: globex.id }),
      await said("org_ajax", 2, { issuer: "https://other/" }),
      await said("org_ajax", 0),
      await said("org_ajax", 2.5),
      await said("org_ajax", 2, { more: 1 }),
    ]) {
      expect(await reason(owned(6, "org_ajax", bad), held), bad).toBe("owner_unproven");
    }
    const { owners, pairs } = await holding(owned(6, "org_ajax", ajax), held);
    expect(decodeProtectedHeader(ajax)).toEqual({ alg: "ES256", typ: "strongroom-ownership+jws" });
    expect(owners.get(acme.id)).toEqual({ pair: pairName(acme.issuer, "org_ajax"), serial: 2 });
    expect([...pairs.values()]).toEqual([acme.id, globex.id, acme.id]);
  });

  test("another issuer is another owner too", async () => {
    const issuers = [issuer, { ...issuer, issuer: "https://other.test/" }];
    const next = { ...base, version: 6, issuers, orgs: [{ ...acme, issuer: "https://other.test/" }, globex] };
    expect(await reason(next, await holding(base))).toBe("owner_unproven");
    const statement = await said("org_acme", 1, { issuer: "https://other.test/" });
    const signed = { ...next, orgs: next.orgs.map((org) => (org === globex ? org : { ...org, statement })) };
    expect(await reason(signed, await holding(base))).toBe("taken");
  });

  test("the refusal says which organization, and since when", async () => {
    const jws = await directoryKey.sign(owned(6, "org_ajax"));
    await expect(verifyDirectory(jws, directoryKey.keys, await holding(base))).rejects.toThrow(
      `the directory is refused (owner_unproven): ${acme.id} would have another owner, and no operator has signed that since statement 0`,
    );
    const held = await holding(owned(6, "org_ajax", await said("org_ajax", 2)), await holding(base));
    const stripped = await directoryKey.sign(owned(7, "org_ajax"));
    await expect(verifyDirectory(stripped, directoryKey.keys, held)).rejects.toThrow(
      `(owner_unproven): ${acme.id} comes without its owner's statement, and no operator has signed that since statement 2`,
    );
  });

  test("an old statement, or another of the same serial, gives it back to nobody; a newer one does", async () => {
    const [ajax, acmeAgain] = await Promise.all([said("org_ajax", 2), said("org_acme", 3)]);
    const held = await holding(owned(6, "org_ajax", ajax), await holding(base));
    expect(await reason(owned(7, "org_acme"), held)).toBe("owner_unproven");
    expect(await reason(owned(7, "org_acme", await said("org_acme", 2)), held)).toBe("owner_unproven");
    const back = await holding(owned(7, "org_acme", acmeAgain), held);
    expect(await reason(owned(8, "org_ajax", ajax), back)).toBe("owner_unproven");
    expect(await reason(owned(8, "org_ajax", await said("org_ajax", 4)), back)).toBe("taken");
  });

  test("a statement counts whether or not it changes anything, and neither comes off nor gets older", async () => {
    const held = await holding(owned(6, "org_acme", await said("org_acme", 3)), await holding(base));
    expect(held.owners.get(acme.id)?.serial).toBe(3);
    expect(await reason(owned(7, "org_ajax", await said("org_ajax", 2)), held)).toBe("owner_unproven");
    for (const statement of [undefined, "a.b.c", await said("org_acme", 2)])
      expect(await reason(owned(7, "org_acme", statement), held)).toBe("owner_unproven");
    expect(await reason(owned(7, "org_acme", await said("org_acme", 3)), held)).toBe("taken");
  });

  test("one that was left out for a while is known still", async () => {
    const held = await holding(owned(6, "org_ajax", await said("org_ajax", 2)), await holding(base));
    const without = await holding({ ...base, version: 7, orgs: [globex] }, held);
    expect(await reason(owned(8, "org_eve"), without)).toBe("owner_unproven");
    expect(await reason(owned(8, "org_ajax", await said("org_ajax", 2)), without)).toBe("taken");
  });

  test("one that is seen first is believed, with a statement or without; what is none does no harm", async () => {
    for (const statement of [undefined, "a.b.c", await said("org_other", 9), await said("org_eve", -1)])
      expect((await holding(owned(5, "org_eve", statement))).owners.get(acme.id)?.serial).toBe(0);
    const held = await holding(owned(5, "org_eve"));
    expect(await reason(owned(6, "org_acme"), held)).toBe("owner_unproven");
    expect(await reason(owned(6, "org_acme", await said("org_acme", 1)), held)).toBe("taken");
  });

  test("a living organization's pair moves to no other id, statement or not", async () => {
    const statement = await signOwnership({ ...globexOwner, claim: acme.claim, serial: 5 });
    const moved = { ...base, version: 6, orgs: [{ ...globex, claim: acme.claim, statement }] };
    expect(await reason(moved, await holding(base))).toBe("pair_moved");
  });
  const globexOwner = { org: globex.id, issuer: issuer.issuer };
});

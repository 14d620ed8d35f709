import { createPublicKey } from "node:crypto";
import { afterAll, beforeAll, beforeEach, expect, inject, test } from "vitest";
import { RevocationPublisher } from "../../services/control-plane/revocations.ts";
import { newOrgId } from "../../services/shared/org.ts";
import { claimKey, createRegistry, type Registry } from "../../services/shared/registry/registry.ts";
import type {
  Revocation,
  RevocationList,
  TokenOwner,
} from "../../services/shared/revocations/revocations.ts";
import { verifyRevocations } from "../../services/shared/revocations/verify.ts";
import { kv2 } from "../../services/shared/vault/kv.ts";
import { type InternalVault, startInternalVault } from "../harness/vault.ts";

let internal: InternalVault;
let registry: Registry;
beforeAll(async () => {
  internal = await startInternalVault(inject("vaultBinary"));
  registry = createRegistry(kv2(internal.controlPlane, "registry"));
});
afterAll(() => internal?.stop());

const newOwner = (): TokenOwner => ({ issuer: "https://a.test/", claim: newOrgId() });

let now: Date;
let acme: TokenOwner;
beforeEach(() => {
  now = new Date();
  acme = newOwner();
});

/** With the control plane's own login, whose policy has to allow it all. */
const publisher = (maxTokenLifetimeSeconds = 3600) =>
  new RevocationPublisher({
    vault: internal.controlPlane,
    registry,
    maxTokenLifetimeSeconds,
    now: () => now,
  });

async function published(by: RevocationPublisher, held?: RevocationList): Promise<RevocationList> {
  const { version, jws } = await by.current();
  const list = await verifyRevocations(jws, createPublicKey(internal.directoryKey), 60, held);
  expect(list.version).toBe(version);
  return list;
}

const of = (list: RevocationList, owner = acme) =>
  list.orgs.find(({ issuer, claim }) => issuer === owner.issuer && claim === owner.claim)?.revocations;
const seconds = () => Math.floor(now.getTime() / 1000);
const digest = (n: number) => String(n).padStart(43, "0");

test("what is added is published, signed, as a newer list; added again it changes nothing", async () => {
  const by = publisher();
  const before = await published(by);
  const revocation = { tokenId: "t-1", ends: seconds() + 60 };
  await by.add(acme, revocation, "operator");
  const after = await published(by, before);
  expect(after.version).toBeGreaterThan(before.version);
  expect(of(after)).toEqual([revocation]);
  await by.add(acme, revocation, "operator");
  await by.add(acme, { ...revocation, ends: seconds() + 30 }, "gateway");
  expect(await published(by, after)).toEqual(after);
});

test("the same claim of another issuer, and another claim of the same, have revocations of their own", async () => {
  const by = publisher();
  const others = [
    { ...acme, issuer: "https://b.test/" },
    { ...acme, claim: newOrgId() },
  ];
  const revocation = { tokenId: "t-1", ends: seconds() + 60 };
  await by.add(acme, revocation, "operator");
  const list = await published(by);
  for (const other of others) {
    expect(await by.of(other)).toEqual([]);
    expect(of(list, other)).toBeUndefined();
  }
  expect(await by.of(acme)).toEqual([revocation]);
});

test("of one target the widest stays", async () => {
  const by = publisher();
  const end = seconds() + 60;
  for (const issuedUntil of [5, 9, 7]) {
    await by.add(acme, { subject: "ada", issuedUntil, ends: end }, "operator");
  }
  expect(await by.of(acme)).toEqual([{ subject: "ada", issuedUntil: 9, ends: end }]);
});

test("a publisher started anew publishes the same list under the same version", async () => {
  await publisher().add(acme, { tokenId: "t-2", ends: seconds() + 60 }, "operator");
  const first = await published(publisher());
  expect(await published(publisher(), first)).toEqual(first);
});

test("many at once, by two publishers: none is lost, and both come to the same list", async () => {
  const two = [publisher(), publisher()];
  const adding = Array.from({ length: 16 }, (_, i) =>
    two[i % 2]?.add(i < 12 ? acme : newOwner(), { token: digest(i), ends: seconds() + 60 }, "gateway"),
  );
  await Promise.all(adding);
  await expect
    .poll(async () => {
      const [one, other] = await Promise.all(two.map((by) => published(by)));
      return one && other && of(one)?.length === 12 && one.version === other.version && [one, other];
    })
    .toSatisfy(([one, other]) => JSON.stringify(one) === JSON.stringify(other));
});

test("what has ended goes when the next comes, and after an hour though none comes", async () => {
  const by = publisher();
  await by.add(acme, { tokenId: "old", ends: seconds() + 60 }, "operator");
  now = new Date(now.getTime() + 61_000);
  expect(await by.of(acme)).toEqual([]);
  await by.add(acme, { tokenId: "new", ends: seconds() + 60 }, "operator");
  expect(of(await published(by))).toEqual([{ tokenId: "new", ends: seconds() + 60 }]);
  now = new Date(now.getTime() + 2 * 3600_000);
  await expect.poll(async () => of(await published(by))).toBeUndefined();
});

test("gateways cannot fill it: operators have room left", async () => {
  const by = publisher();
  const ends = seconds() + 60;
  const many = Array.from({ length: 7_300 }, (_, i): Revocation => ({ token: digest(i), ends }));
  await registry.revocations.create(claimKey(acme.issuer, acme.claim), { ...acme, revocations: many });
  await expect(by.add(acme, { token: digest(9_999), ends }, "gateway")).rejects.toMatchObject({
    code: "too_many_requests",
  });
  await by.add(acme, { subject: "ada", issuedUntil: seconds(), ends }, "operator");
  expect((await by.of(acme)).at(-1)).toMatchObject({ subject: "ada" });
  await by.add(newOwner(), { token: digest(1), ends }, "gateway"); // nor do they fill another's
});

test("while the internal Vault does not answer, the last list is published", async () => {
  const vault = { ...internal.controlPlane };
  const by = new RevocationPublisher({
    ...{ vault, registry: createRegistry(kv2(vault, "registry")), maxTokenLifetimeSeconds: 3600 },
    now: () => now,
  });
  const list = await published(by);
  vault.read = () => Promise.reject(new Error("down"));
  await new Promise((resolve) => setTimeout(resolve, 600)); // it looks again after half a second
  expect(await published(by)).toEqual(list);
});

test("another longest life of tokens makes another version", async () => {
  const before = await published(publisher(3600));
  const after = await published(publisher(7200), before);
  expect(after).toMatchObject({ maxTokenLifetimeSeconds: 7200 });
  expect(after.version).toBeGreaterThan(before.version);
});

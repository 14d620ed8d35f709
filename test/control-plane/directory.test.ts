import { compactVerify, importSPKI } from "jose";
import { Value } from "typebox/value";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { createDirectory, directoryContent } from "../../services/control-plane/directory.ts";
import { Directory } from "../../services/shared/directory/directory.ts";
import { type Issuer, newOrgId } from "../../services/shared/org.ts";
import { newJobId, type OrgRecord } from "../../services/shared/registry/records.ts";
import { createRegistry, type Registry } from "../../services/shared/registry/registry.ts";
import { kv2 } from "../../services/shared/vault/kv.ts";
import { type InternalVault, startInternalVault } from "../harness/vault.ts";

const issuer: Issuer = {
  issuer: "https://auth.strongroom.test/",
  audience: "https://strongroom.test/api",
  jwksUri: "http://127.0.0.1:1/jwks",
  algorithms: ["RS256"],
  orgClaim: "org_id",
  groupsClaim: "groups",
};

const record = (changes: Partial<OrgRecord> = {}): OrgRecord => ({
  id: newOrgId(),
  name: "acme",
  claim: "org_acme",
  issuer,
  state: "ready",
  job: newJobId(),
  attempt: 1,
  listen: "127.0.0.1:20000",
  retiredTokenAccessors: [],
  retiredCertificateSerials: [],
  restart: 1,
  reload: 0,
  createdAt: "2026-01-01T00:00:00.000Z",
  ...changes,
});

describe("what the directory holds", () => {
  const entryOf = ({ id, claim, listen }: OrgRecord) => ({
    id,
    issuer: issuer.issuer,
    claim,
    address: `https://${listen}`,
  });

  test("the organizations that are ready, by id", () => {
    const records = [
      record(),
      record({ claim: "b" }),
      record({ state: "initializing" }),
      record({ state: "failed" }),
    ];
    const ready = records.slice(0, 2).map(entryOf);
    expect(directoryContent(records, [issuer], undefined)).toEqual({
      issuers: [issuer],
      orgs: ready.sort((a, b) => (a.id < b.id ? -1 : 1)),
      deleted: [],
    });
  });

  test.each([
    "deleting",
    "deleted",
  ] as const)("not those that are %s; they are listed as deleted, for ever", (state) => {
    const org = record();
    const before = directoryContent([org], [issuer], undefined);
    const after = directoryContent([{ ...org, state }], [issuer], before);
    expect(after).toMatchObject({ orgs: [], deleted: [org.id] });
    expect(directoryContent([], [issuer], after).deleted).toEqual([org.id]);
  });

  test.each([
    "quarantined",
    "initializing",
    "failed",
  ] as const)("one that was ready and is now %s keeps its entry", (state) => {
    const org = record();
    const before = directoryContent([org], [issuer], undefined);
    expect(directoryContent([{ ...org, state, listen: "127.0.0.1:1" }], [issuer], before)).toEqual(before);
  });

  test("one whose record is lost keeps its entry, and its issuer", () => {
    const other = { ...issuer, issuer: "https://other.test/" };
    const before = directoryContent([record({ issuer: other })], [issuer], undefined);
    expect(before.issuers).toEqual([issuer, other]);
    expect(directoryContent([], [issuer], before)).toEqual(before);
  });

  test("the key of its Vault, once its Vault has loaded it, and from then on through each renewal", () => {
    const digest = "A".repeat(43);
    const org = { ...record(), serverKey: { request: "pem", digest } };
    const renewing = { ...org, retiredCertificateSerials: ["11:22"] };
    const keys = (of: OrgRecord, before?: ReturnType<typeof directoryContent>) =>
      directoryContent([of], [issuer], before).orgs.map(({ serverKey }) => serverKey);
    const keyed = directoryContent([org], [issuer], undefined);
    expect(keys(org)).toEqual([digest]);
    expect(keys(renewing)).toEqual([undefined]);
    expect(keys(renewing, keyed)).toEqual([digest]);
    expect(keys({ ...org, state: "quarantined" }, keyed)).toEqual([digest]);
  });

  test("what an operator has signed of its owner", () => {
    const org = record({ statement: "a.b.c" });
    const content = directoryContent([org], [issuer], undefined);
    expect(content.orgs).toEqual([{ ...entryOf(org), statement: "a.b.c" }]);
    expect(directoryContent([{ ...org, state: "quarantined" }], [issuer], content)).toEqual(content);
  });

  test("an address that changes, changes", () => {
    const org = record();
    const before = directoryContent([org], [issuer], undefined);
    const moved = { ...org, listen: "127.0.0.1:20002" };
    expect(directoryContent([moved], [issuer], before).orgs).toEqual([entryOf(moved)]);
  });
});

describe("publishing", () => {
  let internal: InternalVault;
  let registry: Registry;
  beforeAll(async () => {
    internal = await startInternalVault(inject("vaultBinary"));
    registry = createRegistry(kv2(internal.controlPlane, "registry"));
  });
  afterAll(() => internal?.stop());

  const publisher = () =>
    createDirectory({ vault: internal.controlPlane, registry, issuers: [issuer], now: () => new Date() });
  const add = async (changes: Partial<OrgRecord> = {}) => {
    const org = record(changes);
    await registry.orgs.create(org.id, org);
    return org.id;
  };
  const verified = async (jws: string): Promise<Directory> => {
    const { payload, protectedHeader } = await compactVerify(
      jws,
      await importSPKI(internal.directoryKey, "ES256"),
    );
    expect(protectedHeader).toEqual({ alg: "ES256", typ: "strongroom-directory+jws" });
    const directory: unknown = JSON.parse(new TextDecoder().decode(payload));
    expect(Value.Check(Directory, directory)).toBe(true);
    return directory as Directory;
  };

  test("signed, one version a change, none without a change, the same after a restart", async () => {
    const directory = publisher();
    expect(directory.current()).toBeUndefined();
    await directory.publish();
    const first = directory.current();
    await directory.publish();
    expect(directory.current()).toEqual(first);

    const id = await add();
    await directory.publish();
    const second = directory.current();
    expect(second?.version).toBe((first?.version ?? 0) + 1);
    const { version, orgs } = await verified(second?.jws ?? "");
    expect(version).toBe(second?.version);
    expect(orgs.map((org) => org.id)).toContain(id);

    const restarted = publisher();
    await restarted.publish();
    expect(restarted.current()).toEqual(second);
  });

  test("at the same time, by several: the last version holds every change", async () => {
    const publishers = [publisher(), publisher(), publisher()];
    const ids = await Promise.all(
      Array.from({ length: 12 }, async (_, i) => {
        const id = await add({ claim: `org_${i}` });
        await publishers[i % 3]?.publish();
        return id;
      }),
    );
    await Promise.all(publishers.map((each) => each.publish()));
    const [first, ...others] = publishers.map((each) => each.current());
    for (const other of others) expect(other).toEqual(first);
    const { orgs } = await verified(first?.jws ?? "");
    expect(orgs.map(({ id }) => id)).toEqual(expect.arrayContaining(ids));
  });

  test("on return it says what was changed before the call", async () => {
    const directory = publisher();
    const running = directory.publish();
    const id = await add();
    await directory.publish();
    await running;
    const { orgs } = await verified(directory.current()?.jws ?? "");
    expect(orgs.map((org) => org.id)).toContain(id);
  });

  test("a failure does not stop the next", async () => {
    let broken = true;
    const vault = { ...internal.controlPlane };
    const directory = createDirectory({
      vault: {
        ...vault,
        write: (...args) => (broken ? Promise.reject(new Error("no")) : vault.write(...args)),
      },
      registry,
      issuers: [issuer],
      now: () => new Date(),
    });
    await add();
    await expect(directory.publish()).rejects.toThrow("no");
    broken = false;
    await directory.publish();
    expect(directory.current()).toBeDefined();
  });
});

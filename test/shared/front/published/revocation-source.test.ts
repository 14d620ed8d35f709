import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  type Revocable,
  RevocationSource,
} from "../../../../services/shared/front/published/revocation-source.ts";
import type { Revocation, TokenOwner } from "../../../../services/shared/front/published/revocations.ts";
import { type DirectoryServer, newDirectoryKey, startDirectoryServer } from "../../../harness/directory.ts";

const key = newDirectoryKey();
const acme: TokenOwner = { issuer: "https://a.test/", claim: "org_acme" };
const others: TokenOwner[] = [
  { ...acme, claim: "org_globex" },
  { ...acme, issuer: "https://b.test/" },
];
const DIGEST = "a".repeat(43);
const token: Revocable = { key: DIGEST, tokenId: "t-1", subject: "ada", issuedAt: 1_000 };

let dir: string;
let server: DirectoryServer;
let now: number;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "strongroom-revocations-"));
  server = await startDirectoryServer(key);
  now = 2_000_000;
});
afterEach(async () => {
  await server.close();
  await rm(dir, { recursive: true });
});

const source = () =>
  new RevocationSource({
    ...{
      url: server.revocationsUrl,
      key: key.publicKey,
      copy: join(dir, "copy"),
      maxTokenLifetimeSeconds: 60,
    },
    logger: pino({ level: "silent" }),
    now: () => now,
  });

let version = 1;
const publish = (...revocations: Revocation[]) =>
  server.publishRevocations({
    version: ++version,
    maxTokenLifetimeSeconds: 60,
    orgs: [{ ...acme, revocations }],
  });

const ends = 2_060;
test.each<[string, Revocation, boolean]>([
  ["its digest", { token: DIGEST, ends }, true],
  ["another digest", { token: "b".repeat(43), ends }, false],
  ["its id", { tokenId: "t-1", ends }, true],
  ["another id", { tokenId: "t-2", ends }, false],
  ["its subject, up to the second it was issued in", { subject: "ada", issuedUntil: 1_000, ends }, true],
  ["its subject, up to before it was issued", { subject: "ada", issuedUntil: 999, ends }, false],
  ["another subject", { subject: "grace", issuedUntil: 5_000, ends }, false],
])("a token is revoked by %s, and of its own issuer and organization alone", async (_, revocation, expected) => {
  await publish(revocation);
  const revocations = source();
  await revocations.refresh();
  expect(revocations.isRevoked(acme, token)).toBe(expected);
  for (const other of others) expect(revocations.isRevoked(other, token)).toBe(false);
});

test("a token without an id is none that was revoked by id", async () => {
  await publish({ tokenId: "undefined", ends });
  const revocations = source();
  await revocations.refresh();
  expect(revocations.isRevoked(acme, { ...token, tokenId: undefined })).toBe(false);
});

test("of two times of one subject the later counts, in whatever order", async () => {
  const [early, late] = [500, 1_000].map((issuedUntil) => ({ subject: "ada", issuedUntil, ends })) as [
    Revocation,
    Revocation,
  ];
  for (const list of [
    [early, late],
    [late, early],
  ]) {
    await publish(...list);
    const revocations = source();
    await revocations.refresh();
    expect(revocations.isRevoked(acme, token)).toBe(true);
  }
});

test("the copy on disk is in force while the control plane is down", async () => {
  await publish({ token: DIGEST, ends });
  await source().refresh();
  await server.close();
  const revocations = source();
  expect(revocations.version).toBeUndefined();
  await revocations.loadCopy();
  await revocations.refresh();
  expect(revocations.isRevoked(acme, token)).toBe(true);
});

test("one that is refused leaves the one in use, and shows", async () => {
  await publish({ token: DIGEST, ends });
  const revocations = source();
  await revocations.refresh();
  const inUse = version;
  await server.publishRevocations({ version: 1, maxTokenLifetimeSeconds: 60, orgs: [] });
  await revocations.refresh();
  expect(revocations).toMatchObject({ version: inUse, refusal: "older" });
  expect(revocations.isRevoked(acme, token)).toBe(true);
});

test("what is revoked here holds at once, and until the token ends though no list ever has it", async () => {
  await publish();
  const revocations = source();
  await revocations.refresh();
  revocations.add(acme, DIGEST, ends);
  expect(revocations.isRevoked(acme, token)).toBe(true);
  for (const other of others) expect(revocations.isRevoked(other, token)).toBe(false);
  await publish({ tokenId: "other", ends });
  await revocations.refresh();
  expect(revocations.isRevoked(acme, token)).toBe(true);
  now = ends * 1000;
  revocations.add(acme, "c".repeat(43), ends + 1); // forgets what has ended
  expect(revocations.isRevoked(acme, token)).toBe(false);
});

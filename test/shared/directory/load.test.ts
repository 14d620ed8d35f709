import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Directory } from "../../../services/shared/directory/directory.ts";
import { DirectorySource } from "../../../services/shared/directory/load.ts";
import { newOrgId } from "../../../services/shared/org.ts";
import { type DirectoryServer, newDirectoryKey, startDirectoryServer } from "../../harness/directory.ts";
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
const base: Directory = { version: 5, issuedAt: "now", issuers: [issuer], orgs: [acme], deleted: [] };

let dir: string;
let copy: string;
let server: DirectoryServer;
let log: { level: number; msg: string; reason?: string; detail?: string }[];
let open: DirectorySource[];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "strongroom-directory-"));
  copy = join(dir, "gateway", "directory.jws");
  server = await startDirectoryServer(key);
  log = [];
  open = [];
});
afterEach(async () => {
  for (const source of open) source.close();
  await server.close();
  await rm(dir, { recursive: true });
});

function source(): DirectorySource {
  const logger = pino({}, { write: (line: string) => void log.push(JSON.parse(line)) });
  const made = new DirectorySource({ url: server.url, key: key.publicKey, copy, logger });
  open.push(made);
  return made;
}

const troubles = () => log.filter((line) => line.level >= 40);

test("what is published is taken, found by its pair, and kept on disk for its owner alone", async () => {
  await server.publish(base);
  const directory = source();
  await directory.refresh();
  expect(directory.current?.version).toBe(5);
  expect(directory.current?.find(issuer.issuer, "org_acme")).toEqual(acme);
  expect(directory.current?.find(issuer.issuer, "org_globex")).toBeUndefined();
  expect(directory.current?.find("https://other/", "org_acme")).toBeUndefined();
  expect(directory.current?.byId(acme.id)).toEqual(acme);
  expect(directory.current?.byId("oaaaaaaaaaaaaaaa")).toBeUndefined();
  expect(directory.current?.orgs).toEqual([acme]);
  expect(log).toMatchObject([{ version: 5, msg: "the directory in use is the one published" }]);
  expect((await stat(copy)).mode & 0o777).toBe(0o600);
});

test("the copy keeps an organization's key over a restart; a pair that moves is said in the log", async () => {
  const keyed = { ...acme, serverKey: "A".repeat(43) };
  await server.publish({ ...base, orgs: [keyed] });
  await source().refresh();

  await server.publish({ ...base, version: 6, orgs: [{ ...acme, serverKey: "B".repeat(43) }] });
  const next = source();
  await next.loadCopy();
  await next.refresh();
  expect(next.refusal).toBe("key_changed");
  expect(next.current?.byId(acme.id)).toEqual(keyed);
  expect(troubles()).toMatchObject([{ level: 50, reason: "key_changed", inUse: 5 }]);

  const again = { ...acme, id: newOrgId(), serverKey: "B".repeat(43) };
  await server.publish({ ...base, version: 7, orgs: [again], deleted: [acme.id] });
  await next.refresh();
  expect(next.current?.version).toBe(7);
  expect(troubles().at(-1)).toMatchObject({ level: 40, moved: [{ from: acme.id, to: again.id }] });
});

test("with the control plane down, the copy serves", async () => {
  await server.publish(base);
  await source().refresh();
  await server.close();
  const next = source();
  await next.loadCopy();
  await next.refresh();
  await next.refresh();
  expect(next.current?.version).toBe(5);
  expect(log.map((line) => line.msg)).toContain("the directory in use is the copy on disk");
  expect(troubles().map((line) => line.msg)).toEqual(["the directory cannot be fetched"]);
});

test("a copy that was tampered with is not used", async () => {
  await server.publish(base);
  await source().refresh();
  await writeFile(copy, tamper(await readFile(copy, "utf8"), 1));
  const next = source();
  await next.loadCopy();
  expect(next.current).toBeUndefined();
  expect(next.refusal).toBe("signature");
  await next.refresh();
  expect(next.current?.version).toBe(5);
  expect(next.refusal).toBeUndefined();
});

test("nothing is sent twice: what was fetched last is asked for by its tag", async () => {
  await server.publish(base);
  const directory = source();
  await directory.refresh();
  await directory.refresh();
  expect(server.answers).toEqual([200, 304]);
});

test("one that is refused leaves the one in use and the copy as they are, is logged once, and shows", async () => {
  await server.publish(base);
  const directory = source();
  await directory.refresh();
  const kept = await readFile(copy, "utf8");

  await server.publish({ ...base, version: 6, orgs: [{ ...acme, id: newOrgId() }] });
  await directory.refresh();
  await directory.refresh();
  await server.publish({ ...base, version: 7, orgs: [{ ...acme, id: newOrgId() }] });
  await directory.refresh();
  expect(directory.current?.find(issuer.issuer, "org_acme")).toEqual(acme);
  expect(directory.refusal).toBe("pair_moved");
  expect(await readFile(copy, "utf8")).toBe(kept);
  expect(troubles()).toMatchObject([
    { level: 50, reason: "pair_moved", inUse: 5, msg: "the one published is refused" },
  ]);
  expect(troubles()[0]?.detail).toMatch(/^the directory is refused \(pair_moved\): org_acme/);

  await server.publish({ ...base, version: 4 });
  await directory.refresh();
  expect(directory.refusal).toBe("older");
  expect(troubles().map((line) => line.reason)).toEqual(["pair_moved", "older"]);
  await server.publish({ ...base, version: 8 });
  await directory.refresh();
  expect(directory).toMatchObject({ refusal: undefined, current: { version: 8 } });
});

test("the same one published anew, under another tag, changes nothing", async () => {
  await server.publish(base);
  const directory = source();
  await directory.refresh();
  const before = directory.current;
  await server.publish(base);
  await directory.refresh();
  expect(server.answers).toEqual([200, 200]);
  expect(directory.current).toBe(before);
  expect(log).toHaveLength(1);
});

test("issuers stay the same array until one of them changes", async () => {
  await server.publish(base);
  const directory = source();
  await directory.refresh();
  const before = directory.current?.issuers;
  await server.publish({ ...base, version: 6 });
  await directory.refresh();
  expect(directory.current?.version).toBe(6);
  expect(directory.current?.issuers).toBe(before);
  await server.publish({ ...base, version: 7, issuers: [{ ...issuer, audience: "other" }] });
  await directory.refresh();
  expect(directory.current?.issuers).not.toBe(before);
});

test("it asks again every second", async () => {
  await server.publish(base);
  const directory = source();
  directory.poll();
  await expect.poll(() => directory.current?.version).toBe(5);
  await server.publish({ ...base, version: 6 });
  await expect.poll(() => directory.current?.version).toBe(6);
});

test("asked for by callers, it is the one published after they asked; together they ask once", async () => {
  await server.publish(base);
  const directory = source();
  await directory.refresh();
  await server.publish({ ...base, version: 6 });
  const before = server.answers.length;
  expect(await Promise.all([directory.confirm(), directory.confirm(), directory.confirm()])).toEqual([
    true,
    true,
    true,
  ]);
  expect(directory.current?.version).toBe(6);
  expect(server.answers.length - before).toBe(1);
  const begun = performance.now();
  for (let n = 0; n < 3; n++) await directory.confirm();
  // Twenty a second at most: two whole intervals lie between the three.
  expect(performance.now() - begun).toBeGreaterThan(95);
});

test("it is not confirmed while the control plane does not answer, nor while the newest one is refused", async () => {
  await server.publish(base);
  const directory = source();
  await directory.refresh();
  const stranger = { ...acme, id: newOrgId() };
  await server.publish({ ...base, version: 6, orgs: [stranger] });
  expect(await directory.confirm()).toBe(false);
  expect(await directory.confirm()).toBe(false);
  await server.publish({ ...base, version: 7 });
  expect(await directory.confirm()).toBe(true);
  await server.close();
  expect(await directory.confirm()).toBe(false);
});

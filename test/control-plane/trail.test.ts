import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { Trail } from "../../services/control-plane/trail.ts";
import {
  chained,
  followTrail,
  slotKey,
  TRAIL_BEGIN,
  TrailFollower,
} from "../../services/shared/audit/trail.ts";
import { type VaultClient, VaultUnreachableError } from "../../services/shared/vault/client.ts";
import { type InternalVault, startInternalVault } from "../harness/vault.ts";

/** With the control plane's own login, whose policy is what makes it append-only. */
let internal: InternalVault;
beforeAll(async () => {
  internal = await startInternalVault(inject("vaultBinary"));
});
afterAll(() => internal?.stop());

const open = (log = pino({ level: "silent" })) =>
  new Trail({ vault: internal.controlPlane, now: () => new Date(), log });
const entries = async () => (await open().read(0, 100)).entries;
const actions = async () => (await entries()).map(({ action }) => action);

test("entries follow one another, also after a new start", async () => {
  expect(await open().head()).toEqual(TRAIL_BEGIN);
  await open().append({ actor: "ada", action: "first", requestId: "r-1" });
  const trail = open();
  await Promise.all(["second", "third"].map((action) => trail.append({ actor: "ada", action })));
  expect(await actions()).toEqual(["first", "second", "third"]);
  const found = await entries();
  expect(followTrail(found, TRAIL_BEGIN)).toEqual({ sequence: 3, hash: found[2]?.hash });
  expect(await open().head()).toMatchObject({ sequence: 3 });
  expect((await trail.read(2, 100)).entries).toHaveLength(1);
});

test("two who write at once: nothing is lost, and it stays one chain", async () => {
  const [one, other] = [open(), open()];
  const before = (await actions()).length;
  const writing = Array.from({ length: 20 }, (_, i) =>
    (i % 2 ? one : other).append({ actor: `writer ${i % 2}`, action: `${i}` }),
  );
  await Promise.all(writing);
  const found = await entries();
  expect(found).toHaveLength(before + 20);
  followTrail(found, TRAIL_BEGIN);
});

test("the control plane's login changes no entry, and removes none", async () => {
  const path = "000000000/001";
  const { controlPlane, root } = internal;
  const [entry] = await entries();
  for (const attempt of [
    () => controlPlane.write(`trail/data/${path}`, { data: { ...entry, actor: "eve" } }),
    () => controlPlane.write(`trail/data/${path}`, { data: entry, options: { cas: 1 } }),
    () => controlPlane.delete(`trail/data/${path}`),
    () => controlPlane.delete(`trail/metadata/${path}`),
    () => controlPlane.write(`trail/metadata/${path}`, { max_versions: 1 }),
    () => controlPlane.write(`trail/delete/${path}`, { versions: [1] }),
    () => controlPlane.write(`trail/undelete/${path}`, { versions: [1] }),
    () => controlPlane.write(`trail/destroy/${path}`, { versions: [1] }),
    () => controlPlane.write("trail/config", { max_versions: 1, delete_version_after: "1s" }),
  ]) {
    await expect(attempt()).rejects.toMatchObject({ status: 403 });
  }
  const { data } = await root.read(`trail/metadata/${path}`);
  expect(data).toMatchObject({ current_version: 1 });
});

describe("what somebody else puts there with the control plane's login", () => {
  const put = (slot: number, data: object) =>
    internal.controlPlane.write(`trail/data/${slotKey(slot)}`, { data });
  const event = { at: "2026-01-01T00:00:00.000Z", actor: "eve", action: "forged" };

  test("far beyond the head is named, and no more: the next entry goes behind the last", async () => {
    const { sequence } = await open().head();
    await put(5_000_000, chained(event, { sequence: 4_999_999, hash: "0".repeat(64) }));
    await put(sequence + 3, { garbage: true });
    await internal.controlPlane.write("trail/data/zzz/odd", { data: {} });
    const trail = open();
    expect(await trail.head()).toMatchObject({ sequence });
    await trail.append({ actor: "ada", action: "goes on" });
    expect(await trail.head()).toMatchObject({ sequence: sequence + 1 });
    expect(await trail.strays()).toEqual([slotKey(sequence + 3), slotKey(5_000_000), "zzz/odd"]);
    followTrail(await entries(), TRAIL_BEGIN);
  });

  test.each<[string, (slot: number) => object]>([
    ["garbage", () => ({})],
    ["what is no entry", () => ({ sequence: "1", hash: null })],
    [
      "an entry that names another head",
      (slot) => chained(event, { sequence: slot - 1, hash: "0".repeat(64) }),
    ],
    ["a long record", () => ({ long: "x".repeat(900_000) })],
  ])("%s right behind the head: it is passed over, by one that runs and by one that starts", async (_, what) => {
    const running = open();
    const { sequence } = await running.head();
    await put(sequence + 1, what(sequence + 1));
    await running.append({ actor: "ada", action: "goes on" });
    const lines: string[] = [];
    const log = pino({}, { write: (line) => void lines.push(line) });
    const started = open(log);
    const head = await started.head();
    expect(head.sequence).toBeGreaterThan(sequence + 1);
    expect(lines.join("")).toContain(`"slot":"${slotKey(sequence + 1)}"`);
    await started.append({ actor: "ada", action: "goes on again" });

    const { entries: found, foreign } = await open().read(0, 200);
    const follower = new TrailFollower(TRAIL_BEGIN);
    const bySlot = new Map(found.map((entry) => [entry.sequence, entry]));
    while (follower.next <= found.length + foreign.length) follower.take(bySlot.get(follower.next));
    expect(follower.passed).toContain(sequence + 1);
    expect(follower.stoppedBy).toBeUndefined();
    expect(found.at(-1)).toMatchObject({ action: "goes on again", sequence: follower.head.sequence });
  });

  test("too long to be read at all, which storage other than this one takes: it is passed over", async () => {
    const { sequence } = await open().head();
    const vault: VaultClient = {
      ...internal.controlPlane,
      read: (path) =>
        path.endsWith(slotKey(sequence))
          ? Promise.reject(new VaultUnreachableError(path, "UND_ERR_RES_EXCEEDED_MAX_SIZE"))
          : internal.controlPlane.read(path),
    };
    const trail = new Trail({ vault, now: () => new Date(), log: pino({ level: "silent" }) });
    expect((await trail.read(sequence - 1, 1)).foreign).toEqual([sequence]);
    expect((await trail.head()).sequence).toBeLessThan(sequence);
  });

  test("many in a row cost one walk, and no entry is lost", async () => {
    const trail = open();
    const { sequence } = await trail.head();
    await Promise.all(Array.from({ length: 300 }, (_, i) => put(sequence + 1 + i, { i })));
    await trail.append({ actor: "ada", action: "behind them all" });
    expect(await open().head()).toMatchObject({ sequence: sequence + 301 });
  });
});

test("what a holder of root at the internal Vault changes is found", async () => {
  const before = (await entries())[1];
  await internal.root.write(`trail/data/${slotKey(2)}`, { data: { ...before, actor: "eve" } });
  const changed = await entries();
  expect(() => followTrail(changed.slice(0, 3), TRAIL_BEGIN)).toThrow(/entry 2 is not what was written/);
  await internal.root.delete(`trail/metadata/${slotKey(2)}`);
  expect(await entries()).toHaveLength(1);
  expect((await open().strays()).slice(0, 2)).toEqual([slotKey(3), slotKey(4)]);
});

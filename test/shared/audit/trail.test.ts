import { Value } from "typebox/value";
import { describe, expect, test } from "vitest";
import {
  chained,
  followTrail,
  headText,
  parseHead,
  slotKey,
  TRAIL_BEGIN,
  TrailBroken,
  TrailEntry,
  TrailFollower,
  TrailHead,
} from "../../../services/shared/audit/trail.ts";

function trail(length: number): TrailEntry[] {
  const entries: TrailEntry[] = [];
  for (let i = 0; i < length; i++) {
    const event = { at: `t${i}`, actor: "ada", action: "POST /v1/orgs", requestId: `r${i}` };
    entries.push(chained(event, entries.at(-1) ?? TRAIL_BEGIN));
  }
  return entries;
}

test("an unbroken trail is followed to its head, in one piece or in several", () => {
  const entries = trail(5);
  const { sequence, hash } = entries[4] as TrailEntry;
  expect(followTrail(entries, TRAIL_BEGIN)).toEqual({ sequence, hash });
  const half = followTrail(entries.slice(0, 2), TRAIL_BEGIN);
  expect(followTrail(entries.slice(2), half)).toEqual({ sequence, hash });
  expect(followTrail([], TRAIL_BEGIN)).toEqual(TRAIL_BEGIN);
});

const fourth = (entries: TrailEntry[]) => entries[3] as TrailEntry;
test.each<[string, (entries: TrailEntry[]) => TrailEntry[], RegExp]>([
  ["another actor", (e) => e.with(3, { ...fourth(e), actor: "eve" }), /entry 4 is not what was written/],
  ["a status that was not there", (e) => e.with(3, { ...fourth(e), status: 200 }), /entry 4 is not what/],
  ["an entry removed", (e) => e.toSpliced(3, 1), /entry 4 is missing/],
  ["the first removed", (e) => e.slice(1), /entry 1 is missing/],
  ["two changed places", (e) => [...e.slice(0, 3), e[4], e[3], e[5]] as TrailEntry[], /entry 4 is missing/],
  [
    "one written anew",
    (e) => e.with(3, chained({ at: "t", actor: "eve", action: "x" }, e[2] as TrailEntry)),
    /entry 5 does not follow/,
  ],
  [
    "a member that no hash covers",
    (e) => e.with(3, { ...fourth(e), note: "approved by ada" } as TrailEntry),
    /entry 4 does not have the form of one/,
  ],
  ["an entry that is none", (e) => e.with(3, null as unknown as TrailEntry), /entry 4 does not have/],
])("%s is found", (_, change, words) => {
  const follow = () => followTrail(change(trail(6)), TRAIL_BEGIN);
  expect(follow).toThrow(TrailBroken);
  expect(follow).toThrow(expect.objectContaining({ name: "TrailBroken" }));
  expect(follow).toThrow(words);
});

test("an entry in a slot of its own number alone is on the chain, and what is not is passed over", () => {
  const [first, second] = trail(2) as [TrailEntry, TrailEntry];
  const follower = new TrailFollower(TRAIL_BEGIN);
  expect(
    [undefined, chained({ ...first }, TRAIL_BEGIN, 2), second].map((each) => follower.take(each)),
  ).toEqual([false, true, false]);
  expect(follower.passed).toEqual([1]);
  expect(follower.stoppedBy).toMatch(/entry 3 says that it is entry 2/);
});

test("of the slots off the chain the first hundred are named, of the others there is the count", () => {
  const event = { at: "t", actor: "ada", action: "x" };
  const follower = new TrailFollower(TRAIL_BEGIN);
  const none = "does not have the form of one";
  expect(follower.stoppedBy).toBeUndefined();
  follower.take(undefined);
  expect(follower.stoppedBy).toBe(`entry 1 ${none}`);
  follower.take("x");
  expect(follower.stoppedBy).toBe(`entry 1 ${none}, and neither is any of the 1 after it`);
  for (let i = 0; i < 58; i++) follower.take({});
  expect(follower.passed).toEqual([]);
  expect(follower.take(chained(event, follower.head, 61))).toBe(true);
  expect(follower.passed).toEqual(Array.from({ length: 60 }, (_, i) => i + 1));
  expect(follower.stoppedBy).toBeUndefined();
  for (let i = 0; i < 150; i++) follower.take(undefined);
  expect(follower.stoppedBy).toBe(`entry 62 ${none}, and neither is any of the 149 after it`);
  expect(follower.take(chained(event, follower.head, 212))).toBe(true);
  expect(follower.passed).toHaveLength(100);
  expect(follower.passed.at(-1)).toBe(101);
  follower.take(undefined);
  expect(follower.stoppedBy).toBe(`entry 213 ${none}`);
});

test("slots lie in folders of a thousand, and a head is read back as it was written", () => {
  expect([1, 999, 1000, 1234, 999_999_999_999].map(slotKey)).toEqual([
    "000000000/001",
    "000000000/999",
    "000000001/000",
    "000000001/234",
    "999999999/999",
  ]);
  const head = { sequence: 12, hash: "a".repeat(64) };
  expect(parseHead(headText(head))).toEqual(head);
  const last = { sequence: 999_999_999_999, hash: "09af".repeat(16) };
  expect(parseHead(headText(last))).toEqual(last);
  const hash = "a".repeat(64);
  for (const text of [`:${hash}`, `1${"0".repeat(12)}:${hash}`, ` 1:${hash}`, `1x:${hash}`, `1:${hash}a`]) {
    expect(parseHead(text)).toBeUndefined();
  }
  for (const text of ["", "12", `12:${"A".repeat(64)}`, `12:${"a".repeat(64)} `, `-1:${"a".repeat(64)}`]) {
    expect(parseHead(text)).toBeUndefined();
  }
});

test("members do not run into each other", () => {
  const hashes = [
    { actor: "ab", action: "c" },
    { actor: "a", action: "bc" },
    { actor: 'a","b', action: "c" },
    { actor: "a", action: "c", requestId: "null" },
    { actor: "a", action: "c", job: "null" },
    { actor: "a", action: "c" },
  ].map((event) => chained({ at: "t", ...event }, TRAIL_BEGIN).hash);
  expect(new Set(hashes).size).toBe(hashes.length);
});

test("a trail begins before entry 1, at a hash of zeros", () => {
  expect(TRAIL_BEGIN).toEqual({
    sequence: 0,
    hash: "0000000000000000000000000000000000000000000000000000000000000000",
  });
});

describe("only what has an entry's form is one", () => {
  const entry = chained({ at: "t", actor: "ada", action: "x" }, TRAIL_BEGIN);
  test.each<[string, object, boolean]>([
    ["one in its form", {}, true],
    ["with every member", { org: "oaaaaaaaaaaaaaaa", requestId: "r", job: "j", status: 200 }, true],
    ["another member", { note: "n" }, false],
    ["number 0", { sequence: 0 }, false],
    ["the last number", { sequence: 999_999_999_999 }, true],
    ["a number beyond it", { sequence: 1_000_000_000_000 }, false],
    ["a hash too short", { hash: "a".repeat(63) }, false],
    ["a hash too long", { hash: "a".repeat(65) }, false],
    ["a hash in capitals", { hash: "A".repeat(64) }, false],
    ["a previous that is no hash", { previous: `${"a".repeat(63)}g` }, false],
  ])("%s", (_, changes, expected) => {
    expect(Value.Check(TrailEntry, { ...entry, ...changes })).toBe(expected);
  });

  test("and a head is a number and a hash", () => {
    const head = { sequence: 0, hash: "a".repeat(64) };
    expect(Value.Check(TrailHead, head)).toBe(true);
    expect(Value.Check(TrailHead, { ...head, sequence: -1 })).toBe(false);
    expect(Value.Check(TrailHead, { ...head, hash: "a" })).toBe(false);
    expect(Value.Check(TrailHead, { ...head, more: 1 })).toBe(false);
  });
});

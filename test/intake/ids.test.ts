import { Value } from "typebox/value";
import { expect, test } from "vitest";
import { newSealingKeyId, newWorkId, slotWorkId } from "../../services/intake/ids.ts";
import { SealingKeyId, WorkId } from "../../services/shared/work/messages.ts";

test("jobs' ids have their form, differ, and sort by age", () => {
  const ids = [0, 1, 31, 32, 1_700_000_000_000, 1_700_000_000_001, 2 ** 49].map(newWorkId);
  for (const id of ids) expect(Value.Check(WorkId, id), id).toBe(true);
  expect([...ids].sort()).toEqual(ids);
  expect(new Set(Array.from({ length: 1_000 }, () => newWorkId(1))).size).toBe(1_000);
});

test("a slot has one id, and another slot or name another", () => {
  expect(slotWorkId(5_000, "o1", "nightly")).toBe(slotWorkId(5_000, "o1", "nightly"));
  const others = [
    slotWorkId(6_000, "o1", "nightly"),
    slotWorkId(5_000, "o2", "nightly"),
    slotWorkId(5_000, "o1n", "ightly"),
  ];
  for (const other of others) {
    expect(Value.Check(WorkId, other)).toBe(true);
    expect(other).not.toBe(slotWorkId(5_000, "o1", "nightly"));
  }
});

test("sealing keys' ids have their form", () => {
  expect(Value.Check(SealingKeyId, newSealingKeyId())).toBe(true);
});

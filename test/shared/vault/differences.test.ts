import { expect, test } from "vitest";
import { compareFields, compareNames } from "../../../services/shared/vault/differences.ts";

test("names: what is missing and what is too many", () => {
  expect(compareNames("mount", ["a", "b"], ["b", "c"])).toEqual([
    "mount a is missing",
    "mount c is not expected",
  ]);
  expect(compareNames("mount", ["a", "b"], ["b", "a"])).toEqual([]);
});

test("fields: each kind of emptiness is the same, and nothing else is", () => {
  const empties = [undefined, null, "", 0, false, [], {}];
  for (const wanted of empties) {
    for (const present of empties) expect(compareFields("role", { a: wanted }, { a: present })).toEqual([]);
    expect(compareFields("role", {}, { a: wanted })).toEqual([]);
    for (const present of [1, -1, true, "x", ["x"], { x: 1 }]) {
      expect(compareFields("role", { a: wanted }, { a: present })).toEqual([
        "role: a differs from the expected value",
      ]);
    }
  }
});

test("fields: lists by order, objects by content, and no value in the words", () => {
  expect(compareFields("role", { a: ["x", "y"] }, { a: ["y", "x"] })).toHaveLength(1);
  expect(compareFields("role", { a: { x: ["1"], y: ["2"] } }, { a: { y: ["2"], x: ["1"] } })).toEqual([]);
  expect(compareFields("role", { a: "canary" }, { a: "other" }).join()).not.toMatch(/canary|other/);
  expect(compareFields("role", { ttl: 60 }, { ttl: "60" })).toHaveLength(1);
});

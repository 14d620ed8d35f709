import { expect, test } from "vitest";
import { hasRight, isAtLeast, levelOf, requireLevel } from "../../../services/shared/front/levels.ts";

test("the level is the highest among the groups", () => {
  expect(levelOf({ groups: [] })).toBe("reader");
  expect(levelOf({ groups: ["other", "Admin", "writers"] })).toBe("reader");
  expect(levelOf({ groups: ["writer"] })).toBe("writer");
  expect(levelOf({ groups: ["admin", "writer", "reader"] })).toBe("admin");
});

test("a level is enough for itself and for those below", () => {
  expect(isAtLeast("reader", "reader")).toBe(true);
  expect(isAtLeast("reader", "writer")).toBe(false);
  expect(isAtLeast("writer", "admin")).toBe(false);
  expect(isAtLeast("admin", "reader")).toBe(true);
});

test("who has only rights has no level", () => {
  expect(levelOf({ groups: ["auditor"] })).toBeUndefined();
  expect(levelOf({ groups: ["rotation-operator", "reader"] })).toBeUndefined();
  expect(levelOf({ groups: ["auditor", "writer"] })).toBe("writer");
  expect(() => requireLevel({ groups: ["auditor"] })).toThrow(expect.objectContaining({ code: "forbidden" }));
  expect(requireLevel({ groups: [] })).toBe("reader");
});

test("a right is of its group, and an admin's", () => {
  expect(hasRight({ groups: ["auditor"] }, "receipts")).toBe(true);
  expect(hasRight({ groups: ["auditor"] }, "rotate")).toBe(false);
  expect(hasRight({ groups: ["rotation-operator"] }, "rotate")).toBe(true);
  expect(hasRight({ groups: ["writer", "Auditor"] }, "receipts")).toBe(false);
  expect(hasRight({ groups: ["admin"] }, "rotate")).toBe(true);
});

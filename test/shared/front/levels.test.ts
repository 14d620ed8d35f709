import { expect, test } from "vitest";
import { isAtLeast, levelOf } from "../../../services/shared/front/levels.ts";

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

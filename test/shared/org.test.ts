import { Value } from "typebox/value";
import { expect, test } from "vitest";
import { newOrgId, OrgClaim, OrgId, OrgName, orgServerName } from "../../services/shared/org.ts";

test("ids are DNS labels, all different", () => {
  const ids = Array.from({ length: 1000 }, newOrgId);
  expect(new Set(ids).size).toBe(1000);
  for (const id of ids) expect(Value.Check(OrgId, id), id).toBe(true);
  expect(orgServerName(ids[0] as string)).toMatch(/^o[a-z2-7]{15}\.org\.strongroom\.internal$/);
});

test.each(["abc", "a1-b", "a".repeat(40)])("the name %s is accepted", (name) => {
  expect(Value.Check(OrgName, name)).toBe(true);
});

test.each([
  "",
  "ab",
  "a".repeat(41),
  "Acme",
  "-acme",
  "acme-",
  "ac me",
  "acme\n",
  "acmé",
  "../x",
])("the name %j is refused", (name) => {
  expect(Value.Check(OrgName, name)).toBe(false);
});

test.each([
  "",
  "a b",
  "a/b",
  "a*",
  "a\n",
  "x".repeat(129),
  "{{identity}}",
])("the claim %j is refused", (claim) => {
  expect(Value.Check(OrgClaim, claim)).toBe(false);
});

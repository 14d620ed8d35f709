import { Value } from "typebox/value";
import { expect, test } from "vitest";
import { isLive, isServed, ORG_STATES, OrgState } from "../../../services/shared/api/org-states.ts";

const states = Object.keys(ORG_STATES) as OrgState[];

test("every state is one that a record may have, and no other is", () => {
  for (const state of states) expect(Value.Check(OrgState, state)).toBe(true);
  expect(Value.Check(OrgState, "unheard-of")).toBe(false);
});

test("an organization is served only while it is live, and never once it is withdrawn", () => {
  expect(states.filter((state) => isServed({ state }))).toEqual(["ready"]);
  for (const state of states) {
    if (isServed({ state })) expect(isLive({ state })).toBe(true);
    if (ORG_STATES[state].withdrawn) expect(isServed({ state })).toBe(false);
  }
});

test("what is deleted or came to nothing is not live and cannot be deleted again", () => {
  expect(states.filter((state) => !isLive({ state }))).toEqual(["failed", "deleted"]);
  for (const state of states) if (!isLive({ state })) expect(ORG_STATES[state].deletable).toBe(false);
});

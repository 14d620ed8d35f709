import { describe, expect, test } from "vitest";
import type { PolicyDocument, Principal } from "../iam.ts";
import { synthesize } from "../synthesized.ts";
import { loosened } from "./loosened.ts";
import { AS_THEY_ARE, allRoles, BROAD, CREDENTIAL_ROLES, opens, WITHOUT_DENY } from "./matrix.ts";
import { type Cell, credentialCells } from "./requests.ts";

const { deployment } = synthesize();
const roles = allRoles(deployment);
const cells = credentialCells(deployment);
const serviceOf = (cell: Cell) => cell.request.action.split(":")[0] ?? "";

/** Every question in every view, with the role's own answer. Keys and queues are open, so that no second lock helps. */
const answersOf = (role: Principal) =>
  [AS_THEY_ARE, WITHOUT_DENY, BROAD].flatMap((view) =>
    cells.map((cell) => ({ view, cell, isOpen: opens(view, role, cell) })),
  );

describe("a role's policy that is changed in one place is found:", () => {
  describe.each(CREDENTIAL_ROLES)("%s,", (name) => {
    const role = roles[name] as Principal;
    const [policy, ...more] = role.policies as [PolicyDocument];
    const answers = answersOf(role);
    test("which has one policy", () => expect(more).toEqual([]));
    test.each(loosened(policy).map((mutant) => [mutant.what, mutant] as const))("%s", (_, {
      document,
      services,
    }) => {
      const mutant = { ...role, policies: [document] };
      const isFound =
        document.Version !== policy.Version ||
        answers.some(
          ({ view, cell, isOpen }) =>
            services.includes(serviceOf(cell)) && opens(view, mutant, cell) !== isOpen,
        );
      expect(isFound).toBe(true);
    });
  });
});

import { describe, expect, test } from "vitest";
import { PURPOSES } from "../../../services/shared/work/kinds.ts";
import type { Deployment } from "../deployment.ts";
import type { PolicyDocument } from "../iam.ts";
import { synthesize } from "../synthesized.ts";
import { loosened } from "./loosened.ts";
import { administrator, allRoles, BARE, CREDENTIAL_ROLES, opens, RESOURCES_ALONE } from "./matrix.ts";
import { type Cell, credentialCells, keyPolicyOf, queuesOf, receiptsKeyPolicy } from "./requests.ts";
import { apart, FEED_ACCOUNT, WORKERS_ACCOUNT } from "./several-accounts.ts";

const { deployment } = synthesize();
const ADMINISTRATORS = ["123456789012", WORKERS_ACCOUNT, FEED_ACCOUNT, "999999999999"].map(administrator);

/** Keys and queues with their policies, and every question about them in every view, with the answer. */
function resourcesOf(of: Deployment, where: string, kinds: RegExp) {
  const cells = credentialCells(of);
  const roles = allRoles(of);
  const callers = [...CREDENTIAL_ROLES.flatMap((name) => roles[name] ?? []), ...ADMINISTRATORS];
  const policies = [
    ...PURPOSES.map((purpose) => ({ on: `${purpose} key`, policy: keyPolicyOf(of, purpose) })),
    { on: "receipts key", policy: receiptsKeyPolicy(of) },
    ...queuesOf(of).map(({ name, policy }) => ({ on: name, policy })),
  ];
  return policies
    .filter(({ on }) => kinds.test(on))
    .map(({ on, policy }) => ({
      name: `${on}${where}`,
      policy,
      answers: [RESOURCES_ALONE, BARE].flatMap((view) =>
        callers.flatMap((role) =>
          cells
            .filter((cell) => cell.on === on)
            .map((cell) => ({ view, role, cell, isOpen: opens(view, role, cell) })),
        ),
      ),
    }));
}

/**
 * A change that is none. `Resource` makes no difference in a policy of a key or a queue, which is about that one anyway;
 * nor does a wider principal of another account, since the condition names the role in full, its account in it.
 */
const isSame = (name: string, what: string) =>
  what.endsWith(": Resource *") ||
  /^Intake(Sends|Takes): for everybody$/.test(what) ||
  (name === "integration key, apart" && what === "IntakeMakesDataKeys: for everybody");

describe("a policy of a key or a queue that is changed in one place is found:", () => {
  describe.each([
    ...resourcesOf(deployment, "", /^/),
    ...resourcesOf(apart, ", apart", /^(integration|feed)/),
  ])("$name,", ({ name, policy, answers }) => {
    const mutants = loosened(policy).filter(({ what }) => !isSame(name, what));
    test.each(mutants.map(({ what, document }) => [what, document] as const))("%s", (_, document) => {
      const asked = (cell: Cell, keyPolicy: PolicyDocument) => ({
        ...cell,
        request: { ...cell.request, keyPolicy },
      });
      const isFound =
        document.Version !== policy.Version ||
        answers.some(({ view, role, cell, isOpen }) => opens(view, role, asked(cell, document)) !== isOpen);
      expect(isFound).toBe(true);
    });
  });
});

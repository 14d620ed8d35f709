import { ORG_ROLE_PATH, orgNames } from "../../../services/shared/aws/names.ts";
import { ACCOUNT } from "../../harness/aws/cell.ts";
import type { Deployment } from "../deployment.ts";
import { isAllowed, type PolicyDocument, type Principal, roleOf, type Statement } from "../iam.ts";
import { cellPolicies } from "../org-battery.ts";
import type { Cell } from "./requests.ts";

const EVERYTHING: Statement = { Effect: "Allow", Action: "*", Resource: "*" };
const BROAD_POLICY: PolicyDocument = { Version: "2012-10-17", Statement: [EVERYTHING] };

/** Roles whose statements are about credentials; all others have to be as good as nothing here. */
export const CREDENTIAL_ROLES = [
  "strongroom-intake",
  ...["integration", "webhook", "feed", "broker"].flatMap((kind) => [
    `strongroom-worker-${kind}`,
    `strongroom-redrive-${kind}`,
  ]),
];

/** Every role of the templates with a name, two of an organization's, and people who may do anything. */
export function allRoles(deployment: Deployment): Record<string, Principal> {
  const named = deployment
    .resources("AWS::IAM::Role")
    .map(({ properties }) => properties.RoleName as string | undefined)
    .filter((name) => name !== undefined);
  const { execution, task, boundary } = cellPolicies(deployment);
  const org = "oabcdefghijklmno";
  const ofOrg = (name: string, policy: PolicyDocument): Principal => ({
    arn: `arn:aws:iam::${ACCOUNT}:role${ORG_ROLE_PATH}${name}`,
    tags: { org },
    policies: [policy],
    boundary,
  });
  return {
    ...Object.fromEntries(named.map((name) => [name, roleOf(deployment, name)])),
    "organization's execution role": ofOrg(orgNames(org).executionRole, execution),
    "organization's task role": ofOrg(orgNames(org).taskRole, task),
    administrator: administrator(ACCOUNT),
  };
}

/** Somebody with a broad Allow in an account. */
export const administrator = (account: string): Principal => ({
  arn: `arn:aws:iam::${account}:role/Administrator`,
  tags: {},
  policies: [BROAD_POLICY],
});

/** A way to look at roles' policies and resources' policies: together, and each as if it were the only lock. */
export interface View {
  principal(role: Principal): Principal;
  resourcePolicy(own: PolicyDocument, caller: Principal): PolicyDocument;
}

const changed =
  (change: (all: Statement[]) => Statement[]) =>
  (role: Principal): Principal => ({
    ...role,
    policies: role.policies.map(({ Version, Statement }) => ({ Version, Statement: change(Statement) })),
  });
const unchanged = (role: Principal) => role;
const itsOwn = (own: PolicyDocument) => own;
/** Leaves everything to the callers' own policies, in the caller's account. */
const open = (_: PolicyDocument, { arn }: Principal): PolicyDocument => ({
  Version: "2012-10-17",
  Statement: [{ ...EVERYTHING, Principal: { AWS: `arn:aws:iam::${arn.split(":")[4]}:root` } }],
});

export const TOGETHER: View = { principal: unchanged, resourcePolicy: itsOwn };

// In these three only the roles' own policies hold.
export const AS_THEY_ARE: View = { principal: unchanged, resourcePolicy: open };
export const WITHOUT_DENY: View = {
  principal: changed((all) => all.filter(({ Effect }) => Effect === "Allow")),
  resourcePolicy: open,
};
export const BROAD: View = { principal: changed((all) => [...all, EVERYTHING]), resourcePolicy: open };

// In these two only the resources' policies hold: every role may do everything, or nothing, by its own.
export const RESOURCES_ALONE: View = {
  principal: (role) => ({ ...role, policies: [BROAD_POLICY] }),
  resourcePolicy: itsOwn,
};
export const BARE: View = { principal: (role) => ({ ...role, policies: [] }), resourcePolicy: itsOwn };

/** Whether IAM would allow a role what a cell asks for, looked at in this way. */
export function opens(view: View, role: Principal, { request }: Cell): boolean {
  const { keyPolicy, ...rest } = request;
  return isAllowed(view.principal(role), {
    ...rest,
    ...(keyPolicy && { keyPolicy: view.resourcePolicy(keyPolicy, role) }),
  });
}

/** The cells that are listed: a line for each role and resource. No other cell is. */
export function matrix(
  roles: Record<string, Principal>,
  cells: Cell[],
  isListed: (role: Principal, cell: Cell) => boolean,
): string[] {
  const sorted = Object.entries(roles).sort(([one], [other]) => one.localeCompare(other));
  return sorted.flatMap(([name, role]) => {
    const listed = Map.groupBy(
      cells.filter((cell) => isListed(role, cell)),
      ({ on }) => on,
    );
    const lines = [...listed].map(([on, those]) => {
      const all = cells.filter((cell) => cell.on === on);
      return `  ${on}: ${actions(those, all).join(", ")}`;
    });
    return [`${name}:`, ...(lines.length > 0 ? lines : ["  nothing"])];
  });
}

/** Actions, with the ways that are listed if these are not all. */
function actions(listed: Cell[], all: Cell[]): string[] {
  return [...Map.groupBy(listed, ({ does }) => does)].map(([does, ways]) => {
    if (ways.length === all.filter((cell) => cell.does === does).length) return does;
    return `${does} (${ways.map(({ how }) => how || "over TLS").join("; ")})`;
  });
}

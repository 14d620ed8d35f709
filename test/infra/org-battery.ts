import { ORG_ROLE_PATH, orgNames, orgTable } from "../../services/shared/aws/names.ts";
import { newOrgId } from "../../services/shared/org.ts";
import { orgParameters } from "../../services/shared/parameters/store.ts";
import { ACCOUNT, REGION } from "../harness/aws/cell.ts";
import type { Deployment } from "./deployment.ts";
import {
  isAllowed,
  type PolicyDocument,
  type Principal,
  type Request,
  type Statement,
  throughDynamoDb,
  throughSsm,
} from "./iam.ts";

/** The cell's documents and keys that decide what an organization's roles open. */
export interface CellPolicies {
  execution: PolicyDocument;
  task: PolicyDocument;
  boundary: PolicyDocument;
  parameterKey: { arn: string; policy: PolicyDocument };
  tableKey: { arn: string; policy: PolicyDocument };
  repository: string;
}

export function cellPolicies(deployment: Deployment): CellPolicies {
  const document = (id: string) =>
    deployment.resource("StrongroomCell", "AWS::IAM::ManagedPolicy", id).properties
      .PolicyDocument as PolicyDocument;
  const key = (id: string) => {
    const { arn, properties } = deployment.resource("StrongroomCell", "AWS::KMS::Key", id);
    return { arn, policy: properties.KeyPolicy as PolicyDocument };
  };
  return {
    execution: document("ExecutionPolicy"),
    task: document("TaskPolicy"),
    boundary: document("PermissionsBoundary"),
    parameterKey: key("ParameterKey"),
    tableKey: key("TableKey"),
    repository: deployment.resource("StrongroomNetwork", "AWS::ECR::Repository", "VaultImages").arn,
  };
}

/** Ids as they are given out, among them some that differ in one character only. */
export function orgIds(count: number): string[] {
  const ids = Array.from({ length: count }, () => newOrgId());
  const [first = ""] = ids;
  ids[1] = `${first.slice(0, -1)}${first.endsWith("a") ? "b" : "a"}`;
  ids[2] = `o${first.at(1) === "a" ? "b" : "a"}${first.slice(2)}`;
  return ids;
}

const PREFIX = "/strongroom";
export const parameterArn = (name: string) => `arn:aws:ssm:${REGION}:${ACCOUNT}:parameter${name}`;
export const tableArn = (name: string) => `arn:aws:dynamodb:${REGION}:${ACCOUNT}:table/${name}`;

/** A use of something of one organization's, and which kind of role it is for. */
export type Use = Request & { for: "execution" | "task" };

/** Every use that an organization's roles are made for. `org` may be what is no id, too. */
export function usesOf(org: string, { parameterKey, tableKey }: CellPolicies): Use[] {
  const parameters = Object.values(orgParameters(PREFIX, org)).map(parameterArn);
  const tables = [orgTable(org, 1), orgTable(org, 12)];
  const logStream = `arn:aws:logs:${REGION}:${ACCOUNT}:log-group:${orgNames(org).logGroup}:log-stream:vault/vault/1`;
  return [
    ...parameters.map((resource): Use => ({ for: "execution", action: "ssm:GetParameters", resource })),
    ...parameters.map(
      (arn): Use => ({
        for: "execution",
        action: "kms:Decrypt",
        resource: parameterKey.arn,
        context: throughSsm(arn),
        keyPolicy: parameterKey.policy,
      }),
    ),
    { for: "execution", action: "logs:PutLogEvents", resource: logStream, isLeftToAllow: true },
    ...tables.flatMap((table): Use[] => [
      ...["dynamodb:GetItem", "dynamodb:BatchWriteItem"].map(
        (action): Use => ({ for: "task", action, resource: tableArn(table) }),
      ),
      {
        for: "task",
        action: "kms:Decrypt",
        resource: tableKey.arn,
        context: throughDynamoDb(table),
        keyPolicy: tableKey.policy,
      },
    ]),
  ];
}

/** A key of the account's that is none of the platform's. */
export const otherKey = {
  resource: `arn:aws:kms:${REGION}:${ACCOUNT}:key/00000000-0000-0000-0000-000000000000`,
  keyPolicy: {
    Version: "2012-10-17",
    Statement: [
      { Effect: "Allow", Principal: { AWS: `arn:aws:iam::${ACCOUNT}:root` }, Action: "kms:*", Resource: "*" },
    ],
  } satisfies PolicyDocument as PolicyDocument,
};

/** What no role of an organization's is for, whatever its tag. */
export function neverUses({ parameterKey, tableKey }: CellPolicies, org: string): Request[] {
  const [token = ""] = Object.values(orgParameters(PREFIX, org)).map(parameterArn);
  const underKey = { resource: parameterKey.arn, keyPolicy: parameterKey.policy };
  return [
    { action: "ssm:GetParameters", resource: parameterArn("/strongroom/platform/control-plane/secret-id") },
    { action: "ssm:GetParameters", resource: parameterArn(`/strongroom/orgs/${org}`) },
    { action: "ssm:GetParameters", resource: parameterArn(`/strongroom/orgs/${org}/other`) },
    { action: "ssm:GetParameters", resource: parameterArn(`/elsewhere/orgs/${org}/unseal-token`) },
    { action: "kms:Decrypt", ...underKey },
    { action: "kms:Decrypt", ...underKey, context: { "kms:ViaService": `ssm.${REGION}.amazonaws.com` } },
    { action: "kms:Decrypt", resource: tableKey.arn, keyPolicy: tableKey.policy },
    {
      action: "kms:Decrypt",
      resource: tableKey.arn,
      keyPolicy: tableKey.policy,
      context: throughDynamoDb("strongroom-lock"),
    },
    { action: "kms:Decrypt", ...otherKey, context: throughSsm(token) },
    {
      action: "kms:Decrypt",
      ...otherKey,
      context: throughDynamoDb(orgTable(org, 1)),
    },
    { action: "dynamodb:GetItem", resource: tableArn("strongroom-lock") },
    // By hand, not through the service: what is allowed holds it back, no Deny does.
    { action: "kms:Decrypt", ...underKey, context: byHand(throughSsm(token)), isLeftToAllow: true },
    {
      action: "kms:Decrypt",
      resource: tableKey.arn,
      keyPolicy: tableKey.policy,
      context: byHand(throughDynamoDb(orgTable(org, 1))),
      isLeftToAllow: true,
    },
    ...pull(`arn:aws:ecr:${REGION}:${ACCOUNT}:repository/strongroom/services`),
  ];
}

const byHand = ({ "kms:ViaService": _, ...context }: Record<string, string>) => context;

/** What every organization's task needs to start, and no organization owns. */
const commonUses = ({ repository }: CellPolicies): Use[] => [
  ...pull(repository).map((request): Use => ({ ...request, for: "execution" })),
  { for: "execution", action: "ecr:GetAuthorizationToken", resource: "*", isLeftToAllow: true },
];

const pull = (resource: string): Request[] =>
  ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"].map((action) => ({
    action,
    resource,
    isLeftToAllow: true,
  }));

/** Tags that open nothing: missing, patterns, paths, almost ids. */
export const notIds = (id: string): (string | undefined)[] => [
  undefined,
  "",
  "*",
  "o*",
  "o???????????????",
  `o${"*".repeat(15)}`,
  `${id.slice(0, 15)}*`,
  `${id.slice(0, 15)}?`,
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the text that IAM would fill in
  "o${aws:userid}ab",
  id.slice(0, 15),
  `${id}a`,
  ` ${id}`,
  id.toUpperCase(),
  `${id}/unseal-token`,
  `../orgs/${id}`,
  `o${id.slice(1, 7)}/unseal-t`,
  `o${id.slice(1, 7)}:unseal-t`,
  `o/..${id.slice(0, 12)}`,
  `o..${id.slice(0, 13)}`,
];

/** Views of a role's policy: as it is, and as it would be after a mistake elsewhere. */
const VIEWS: Record<string, (statements: Statement[]) => Statement[]> = {
  "as it is": (statements) => statements,
  "without its Deny statements": (statements) => statements.filter(({ Effect }) => Effect === "Allow"),
  "with a broad Allow added": (statements) => [...statements, EVERYTHING],
};
const BROAD = "with a broad Allow added";
const EVERYTHING: Statement = { Effect: "Allow", Action: "*", Resource: "*" };

/** The documents in which a fault may be. */
export type Part = "execution" | "task" | "boundary";
export const PARTS: Part[] = ["execution", "task", "boundary"];

/** A role as the runtime makes it for an organization, or as it might become. */
interface Subject {
  name: string;
  opens(use: Use): boolean;
  /** Whether it has a broad Allow, against which a Deny has to stand. */
  isBroad: boolean;
  principal(org: string, tag: string | undefined): Principal;
}

/** Each role in each view; and one that may do everything, but for its boundary. */
function subjects(policies: CellPolicies, parts: Part[]): Subject[] {
  const principal =
    (kind: Use["for"], documents: Pick<Principal, "policies" | "boundary">) =>
    (org: string, tag: string | undefined): Principal => {
      const { executionRole, taskRole } = orgNames(org);
      const name = kind === "execution" ? executionRole : taskRole;
      return {
        arn: `arn:aws:iam::${ACCOUNT}:role${ORG_ROLE_PATH}${name}`,
        tags: tag === undefined ? {} : { org: tag },
        ...documents,
      };
    };
  const roles = (["execution", "task"] as const)
    .filter((kind) => parts.includes(kind))
    .flatMap((kind) =>
      Object.entries(VIEWS).map(([view, see]): Subject => {
        const { Version, Statement } = policies[kind];
        return {
          name: `${kind} role ${view}`,
          opens: (use) => use.for === kind,
          isBroad: view === BROAD,
          principal: principal(kind, { policies: [{ Version, Statement: see(Statement) }] }),
        };
      }),
    );
  if (!parts.includes("boundary")) return roles;
  const everything = { Version: "2012-10-17", Statement: [EVERYTHING] };
  const bounded: Subject = {
    name: "role with its boundary alone",
    opens: () => true,
    isBroad: false,
    principal: principal("execution", { policies: [everything], boundary: policies.boundary }),
  };
  return [...roles, bounded];
}

/**
 * What is wrong with the policies, one line each, found as it is asked for: every role of every
 * organization against every organization's things, against what no role may, and with every tag that is
 * no id. `parts` are the documents that are looked at.
 */
export function* faults(policies: CellPolicies, orgs: string[], parts = PARTS): Generator<string> {
  for (const part of parts) {
    const { Version } = policies[part];
    if (Version !== "2012-10-17") yield `${part}: no variable is filled in in a policy of ${Version}`;
  }
  const [first = ""] = orgs;
  const uses = new Map(orgs.map((org) => [org, usesOf(org, policies)]));
  for (const subject of subjects(policies, parts)) {
    const judge = function* (org: string, tag: string | undefined, request: Request, right: boolean) {
      if (subject.isBroad && request.isLeftToAllow) return;
      if (isAllowed(subject.principal(org, tag), request) !== right) {
        const { action, resource, context } = request;
        yield `${subject.name}, tag ${tag}: ${action} on ${resource} ${JSON.stringify(context ?? {})} should be ${right ? "allowed" : "denied"}`;
      }
    };
    for (const org of orgs) {
      for (const [owner, things] of uses) {
        for (const use of things) yield* judge(org, org, use, owner === org && subject.opens(use));
      }
    }
    for (const use of commonUses(policies)) yield* judge(first, first, use, subject.opens(use));
    for (const request of neverUses(policies, first)) yield* judge(first, first, request, false);
    for (const tag of notIds(first)) {
      for (const org of [first, tag ?? ""]) {
        for (const use of oneOfEach(usesOf(org, policies))) yield* judge(first, tag, use, false);
      }
    }
  }
}

const oneOfEach = (uses: Use[]): Use[] => [
  ...new Map(uses.map((use) => [`${use.for} ${use.action}`, use])).values(),
];

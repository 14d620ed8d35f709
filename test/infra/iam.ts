import { runSimulation, runUnsafeSimulation, type Simulation } from "@cloud-copilot/iam-simulate";
import { ACCOUNT, REGION } from "../harness/aws/cell.ts";
import type { Deployment } from "./deployment.ts";

export interface Statement {
  Sid?: string;
  Effect: "Allow" | "Deny";
  Action?: string | string[];
  Resource?: string | string[];
  NotResource?: string | string[];
  Condition?: Record<string, Record<string, string | string[]>>;
  Principal?: unknown;
}

export interface PolicyDocument {
  Version: string;
  Statement: Statement[];
}

/** A principal as IAM sees it. */
export interface Principal {
  arn: string;
  tags: Record<string, string>;
  policies: PolicyDocument[];
  boundary?: PolicyDocument;
}

export interface Request {
  action: string;
  resource: string;
  context?: Record<string, string | string[]>;
  /** The policy of the key or the queue that a request is for. */
  keyPolicy?: PolicyDocument;
  /** Where a broad Allow elsewhere would open it, since no Deny is about it: no organization's secret. */
  isLeftToAllow?: boolean;
}

/** The account in an ARN; of `*` and of ARNs without one, the platform's. */
const accountOf = (arn: string): string => arn.split(":")[4] || ACCOUNT;

const simulation = (
  principal: Principal,
  { action, resource, context = {}, keyPolicy }: Request,
): Simulation => ({
  request: {
    principal: `arn:aws:sts::${accountOf(principal.arn)}:assumed-role/${principal.arn.split("/").at(-1)}/session`,
    action,
    resource: { resource, accountId: accountOf(resource) },
    contextVariables: {
      "aws:PrincipalArn": principal.arn,
      "aws:PrincipalAccount": accountOf(principal.arn),
      "aws:SecureTransport": "true",
      ...Object.fromEntries(
        Object.entries(principal.tags).map(([key, value]) => [`aws:PrincipalTag/${key}`, value]),
      ),
      ...context,
    },
  },
  identityPolicies: principal.policies.map((policy, n) => ({ name: `policy-${n}`, policy })),
  serviceControlPolicies: [],
  resourceControlPolicies: [],
  // As the library's own createValidatedPolicy makes it: its unsafe call needs a name with it.
  ...(keyPolicy && {
    resourcePolicy: { __validated: true, policyDocument: keyPolicy, metadata: { name: "key" }, errors: [] },
  }),
  ...(principal.boundary && {
    permissionBoundaryPolicies: [{ name: "boundary", policy: principal.boundary }],
  }),
});

/** Whether IAM would allow it. */
export const isAllowed = (principal: Principal, request: Request): boolean =>
  runUnsafeSimulation(simulation(principal, request), {}) === "Allowed";

/** What AWS would refuse in the policies and the request themselves; undefined where nothing. */
export async function malformed(principal: Principal, request: Request): Promise<unknown> {
  const result = await runSimulation(simulation(principal, request), { simulationMode: "Strict" });
  return result.resultType === "error" ? result.errors : undefined;
}

/** A role of the templates with all policies attached to it there. */
export function roleOf(deployment: Deployment, roleName: string): Principal {
  const role = deployment
    .resources("AWS::IAM::Role")
    .find(({ properties }) => properties.RoleName === roleName);
  if (!role) throw new Error(`there is no role ${roleName}`);
  const inline = (role.properties.Policies ?? []).map(
    (each: { PolicyDocument: PolicyDocument }) => each.PolicyDocument,
  );
  const attached = deployment
    .resources("AWS::IAM::Policy")
    .filter(({ properties }) => properties.Roles?.includes(roleName))
    .map(({ properties }) => properties.PolicyDocument as PolicyDocument);
  if (role.properties.ManagedPolicyArns)
    throw new Error(`${roleName} has managed policies, which are not read here`);
  return { arn: role.arn, tags: {}, policies: [...inline, ...attached] };
}

/** The context of a request that SSM makes of KMS for a parameter. */
export const throughSsm = (parameterArn: string) => ({
  "kms:ViaService": `ssm.${REGION}.amazonaws.com`,
  "kms:EncryptionContext:PARAMETER_ARN": parameterArn,
});

/** The context of a request that DynamoDB makes of KMS for a table. */
export const throughDynamoDb = (tableName: string) => ({
  "kms:ViaService": `dynamodb.${REGION}.amazonaws.com`,
  "kms:EncryptionContext:aws:dynamodb:tableName": tableName,
  "kms:EncryptionContext:aws:dynamodb:subscriberId": ACCOUNT,
});

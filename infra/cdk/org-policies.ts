import type { Stack } from "aws-cdk-lib";
import { type Conditions, Effect, PolicyStatement } from "aws-cdk-lib/aws-iam";
import { ORG_TAG, orgNames, orgTable } from "../../services/shared/aws/names.ts";
import { orgParameters } from "../../services/shared/parameters/store.ts";

/**
 * The value of the caller's own tag `org`, which IAM fills in. ECS passes no session tags, so each organization has its
 * own roles. They share these policies, and a role's tag is its authority.
 */
const OWN = `\${aws:PrincipalTag/${ORG_TAG}}`;
const TAG_KEY = `aws:PrincipalTag/${ORG_TAG}`;

/** A pattern with the length and first letter of an id, which no tag value that acts as a wildcard matches. */
export const ORG_SHAPE = `o${"?".repeat(15)}`;
/** Characters that would turn an id into a path, a pattern or a version. IAM writes the literal character as `${*}`. */
const NO_ID = ["*/*", "*:*", "*.*", ...["*", "?"].map((character) => `*\${${character}}*`)];
const IS_ID: Conditions = { StringLike: { [TAG_KEY]: ORG_SHAPE }, StringNotLike: { [TAG_KEY]: NO_ID } };

const TABLE_ACTIONS = [
  "dynamodb:DescribeTable",
  "dynamodb:GetItem",
  "dynamodb:BatchGetItem",
  "dynamodb:Query",
  "dynamodb:PutItem",
  "dynamodb:UpdateItem",
  "dynamodb:DeleteItem",
  "dynamodb:BatchWriteItem",
];

const PULL_ACTIONS = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];

/** The resources in the policies of a cell's organizations: ARNs, and the prefix of parameters. */
export interface OrgResources {
  stack: Stack;
  parameterPrefix: string;
  /** The key that encrypts parameters, and earlier keys that still decrypt some. */
  parameterKeyArns: string[];
  tableKeyArn: string;
  /** The repository of Vault's image. */
  repositoryArn: string;
}

/** ARNs of an organization's resources; `org` may be a pattern or a policy variable. */
export function orgArns(
  { stack, parameterPrefix }: Pick<OrgResources, "stack" | "parameterPrefix">,
  org: string,
) {
  const arn = (service: string, resource: string) =>
    `arn:${stack.partition}:${service}:${stack.region}:${stack.account}:${resource}`;
  const tables = orgTable(org, 1).replace(/1$/, "*");
  return {
    parameters: Object.values(orgParameters(parameterPrefix, org)).map((name) =>
      arn("ssm", `parameter${name}`),
    ),
    tableNames: tables,
    tables: arn("dynamodb", `table/${tables}`),
    logGroup: arn("logs", `log-group:${orgNames(org).logGroup}`),
  };
}

/** The permissions that ECS needs to start an organization's task: read its parameters, write its log, pull Vault. */
export function executionPolicy(of: OrgResources): PolicyStatement[] {
  const { parameters } = orgArns(of, OWN);
  return [
    ...startAllowed(of),
    ...denyMalformedTag(["ssm:*", "kms:*", "dynamodb:*", "logs:*"]),
    deny("OtherParameters", ["ssm:*"], { notResources: parameters }),
    deny("OtherKeys", ["kms:*"], { notResources: of.parameterKeyArns }),
    deny("OtherCiphertexts", ["kms:*"], {
      resources: ["*"],
      conditions: { StringNotEquals: { "kms:EncryptionContext:PARAMETER_ARN": parameters } },
    }),
    deny("Tables", ["dynamodb:*"], { resources: ["*"] }),
  ];
}

/** The permissions of an organization's Vault: use its own tables. */
export function taskPolicy(of: OrgResources): PolicyStatement[] {
  const { tables, tableNames } = orgArns(of, OWN);
  return [
    ...tableAllowed(of),
    ...denyMalformedTag(["kms:*", "dynamodb:*"]),
    deny("OtherTables", ["dynamodb:*"], { notResources: [tables] }),
    deny("OtherKeys", ["kms:*"], { notResources: [of.tableKeyArn] }),
    deny("OtherCiphertexts", ["kms:*"], {
      resources: ["*"],
      conditions: { StringNotLike: { "kms:EncryptionContext:aws:dynamodb:tableName": tableNames } },
    }),
    deny("Parameters", ["ssm:*"], { resources: ["*"] }),
  ];
}

/** The permissions boundary of an organization's roles: their maximum, whatever is attached to them. */
export function orgBoundary(of: OrgResources): PolicyStatement[] {
  return [...startAllowed(of), ...tableAllowed(of)];
}

function startAllowed(of: OrgResources): PolicyStatement[] {
  const { stack } = of;
  const { parameters, logGroup } = orgArns(of, OWN);
  return [
    allow("OwnParameters", ["ssm:GetParameters"], parameters, IS_ID),
    allow("OwnCiphertexts", ["kms:Decrypt"], of.parameterKeyArns, {
      ...IS_ID,
      StringEquals: {
        "kms:ViaService": `ssm.${stack.region}.amazonaws.com`,
        "kms:EncryptionContext:PARAMETER_ARN": parameters,
      },
    }),
    allow("OwnLog", ["logs:CreateLogStream", "logs:PutLogEvents"], [`${logGroup}:log-stream:*`], IS_ID),
    allow("Image", PULL_ACTIONS, [of.repositoryArn]),
    allow("Registry", ["ecr:GetAuthorizationToken"], ["*"]),
  ];
}

function tableAllowed(of: OrgResources): PolicyStatement[] {
  const { stack } = of;
  const { tables, tableNames } = orgArns(of, OWN);
  return [
    allow("OwnTables", TABLE_ACTIONS, [tables], IS_ID),
    allow("OwnTableCiphertexts", ["kms:Decrypt"], [of.tableKeyArn], {
      StringNotLike: IS_ID.StringNotLike,
      StringLike: { [TAG_KEY]: ORG_SHAPE, "kms:EncryptionContext:aws:dynamodb:tableName": tableNames },
      StringEquals: { "kms:ViaService": `dynamodb.${stack.region}.amazonaws.com` },
    }),
  ];
}

/** A Deny with a variable does not apply if the tag is missing; the first of these two does. */
function denyMalformedTag(actions: string[]): PolicyStatement[] {
  return [
    deny("NoTag", actions, { resources: ["*"], conditions: { StringNotLike: { [TAG_KEY]: ORG_SHAPE } } }),
    deny("NoId", actions, { resources: ["*"], conditions: { StringLike: { [TAG_KEY]: NO_ID } } }),
  ];
}

/** An Allow statement. */
export const allow = (sid: string, actions: string[], resources: string[], conditions?: Conditions) =>
  new PolicyStatement({ sid, actions, resources, conditions });

/** A Deny statement. */
export const deny = (
  sid: string,
  actions: string[],
  of: { resources?: string[]; notResources?: string[]; conditions?: Conditions },
) => new PolicyStatement({ sid: `Deny${sid}`, effect: Effect.DENY, actions, ...of });

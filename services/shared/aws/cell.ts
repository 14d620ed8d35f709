import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { ConfigError } from "../config.ts";

const Arn = (service: string, resource: string, description: string) =>
  Type.String({ pattern: `^arn:aws[a-z-]*:${service}:[a-z0-9-]*:[0-9]{12}:${resource}$`, description });
const Identifiers = (prefix: string, description: string) =>
  Type.Array(Type.String({ pattern: `^${prefix}-[0-9a-z]+$` }), { minItems: 1, maxItems: 16, description });

/**
 * A cell: one account's cluster, network, namespace and keys, in which organizations' Vaults run as ECS services. The
 * infrastructure emits it, the control plane reads it; it contains no secret.
 */
export const Cell = Type.Object(
  {
    region: Type.String({ pattern: "^[a-z]{2}(-[a-z]+)+-[0-9]$" }),
    account: Type.String({ pattern: "^[0-9]{12}$" }),
    cluster: Type.String({ pattern: "^[A-Za-z0-9_-]{1,255}$", description: "The ECS cluster's name" }),
    subnets: Identifiers("subnet", "Private subnets of the tasks"),
    securityGroups: Identifiers("sg", "Security groups of the tasks"),
    namespaceId: Type.String({ pattern: "^ns-[0-9a-z]+$", description: "The Cloud Map private namespace" }),
    namespaceName: Type.String({
      pattern: "^(?=.{1,200}$)[a-z0-9-]+(\\.[a-z0-9-]+)*$",
      description: "The namespace's domain",
    }),
    executionPolicyArn: Arn("iam", "policy/.+", "The one policy of every execution role"),
    taskPolicyArn: Arn("iam", "policy/.+", "The one policy of every task role"),
    permissionsBoundaryArn: Arn("iam", "policy/.+", "The permissions boundary of every organization's roles"),
    parameterKeyArn: Arn("kms", "key/.+", "Key that encrypts the parameters"),
    tableKeyArn: Arn("kms", "key/.+", "Key that encrypts the tables; must differ from the parameters' key"),
    image: Type.String({ minLength: 1, maxLength: 500, description: "Vault's image" }),
    launchType: Type.Enum(["FARGATE", "EC2"], { default: "FARGATE" }),
    spot: Type.Boolean({
      default: false,
      description: "Use Fargate Spot: a third of the price, but no Vaults while AWS has no spare capacity",
    }),
    architecture: Type.Enum(["ARM64", "X86_64"], { default: "ARM64" }),
    cpu: Type.Integer({ minimum: 256, maximum: 4096, default: 256, description: "1024 is one vCPU" }),
    memory: Type.Integer({ minimum: 512, maximum: 30_720, default: 512, description: "MiB" }),
    platformCpu: Type.Integer({
      minimum: 0,
      maximum: 102_400,
      default: 5376,
      description: "The platform's own tasks' share of the account's vCPU; 1024 is one vCPU",
    }),
    logRetentionDays: Type.Enum([1, 7, 30, 90, 180, 365, 731, 1827, 3653], { default: 365 }),
  },
  { additionalProperties: false },
);
export type Cell = Static<typeof Cell>;

/**
 * Parses a cell from JSON, with defaults. Throws ConfigError with a line per problem, each starting with `source`,
 * the name of the text's setting.
 */
export function parseCell(text: string, source: string): Cell {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch {
    throw new ConfigError(`${source}: not valid JSON`);
  }
  const cell = Value.Default(Cell, given);
  const problems = Value.Errors(Cell, cell).map(
    ({ instancePath, message, params }) =>
      `${source}: ${instancePath || "the cell"} ${message} ${names(params)}`,
  );
  if (problems.length > 0)
    throw new ConfigError([...new Set(problems.map((line) => line.trim()))].join("\n"));
  const settled = cell as Cell;
  if (settled.spot && settled.launchType === "EC2") {
    throw new ConfigError(`${source}: /spot is only for Fargate; on EC2 the cluster determines the capacity`);
  }
  if (settled.tableKeyArn === settled.parameterKeyArn) {
    throw new ConfigError(
      `${source}: /tableKeyArn must differ from /parameterKeyArn: otherwise a task role could decrypt parameters`,
    );
  }
  return settled;
}

/** The properties of an error whose path does not name them. */
function names(params: object): string {
  const { requiredProperties, additionalProperties } = params as Record<string, string[] | undefined>;
  return (requiredProperties ?? additionalProperties ?? []).join(", ");
}

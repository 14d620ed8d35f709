import { createHash } from "node:crypto";
import { ACCOUNT, REGION } from "../harness/aws/cell.ts";

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** A CloudFormation template, as far as it is looked at here. */
export interface Template {
  Parameters?: Record<string, { Type: string; Default?: string }>;
  Resources: Record<string, RawResource>;
  Outputs?: Record<string, { Value: Json; Export?: { Name: Json } }>;
}

interface RawResource {
  Type: string;
  Properties?: Record<string, Json>;
  DependsOn?: string[];
  DeletionPolicy?: string;
  UpdateReplacePolicy?: string;
}

/** A resource of some stack, its properties with concrete values in place of references. */
export interface Resource {
  stack: string;
  id: string;
  type: string;
  // biome-ignore lint/suspicious/noExplicitAny: a resource's form is CloudFormation's own, and tests say what they expect
  properties: any;
  deletionPolicy: string | undefined;
  updateReplacePolicy: string | undefined;
  /** As `Fn::GetAtt` gives it. */
  arn: string;
}

/**
 * Templates as if they were deployed: CloudFormation's functions evaluated, with names and ARNs of the form
 * that AWS gives them. What is published by parameter reads `published:<name>`.
 */
export class Deployment {
  readonly templates: Record<string, Template>;
  readonly #accounts: Record<string, string>;
  readonly #exports = new Map<string, Json>();

  /** `accounts`: of stacks that are not in the platform's. */
  constructor(templates: Record<string, Template>, accounts: Record<string, string> = {}) {
    this.templates = templates;
    this.#accounts = accounts;
    for (const [stack, { Outputs = {} }] of Object.entries(templates)) {
      for (const { Value, Export } of Object.values(Outputs)) {
        if (Export) this.#exports.set(String(this.resolve(stack, Export.Name)), this.resolve(stack, Value));
      }
    }
  }

  /** All resources of a type, or of all types. */
  resources(type?: string): Resource[] {
    return Object.entries(this.templates).flatMap(([stack, { Resources }]) =>
      Object.entries(Resources)
        .filter(([, raw]) => type === undefined || raw.Type === type)
        .map(([id, raw]) => ({
          stack,
          id,
          type: raw.Type,
          properties: this.resolve(stack, raw.Properties ?? {}),
          deletionPolicy: raw.DeletionPolicy,
          updateReplacePolicy: raw.UpdateReplacePolicy,
          arn: this.#attribute(stack, id, "Arn"),
        })),
    );
  }

  /** The one resource of a type in a stack whose id begins so. Throws where there is none, or more. */
  resource(stack: string, type: string, idPrefix = ""): Resource {
    const found = this.resources(type).filter((each) => each.stack === stack && each.id.startsWith(idPrefix));
    const [one] = found;
    if (!one || found.length > 1) throw new Error(`${stack} has ${found.length} ${idPrefix}* of ${type}`);
    return one;
  }

  resolve(stack: string, value: Json): Json {
    if (Array.isArray(value)) return value.map((each) => this.resolve(stack, each));
    if (typeof value !== "object" || value === null) return value;
    const [[name, argument] = ["", null], ...others] = Object.entries(value);
    if (others.length === 0 && (name === "Ref" || name.startsWith("Fn::"))) {
      return this.#call(stack, name, argument);
    }
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, this.resolve(stack, each)]));
  }

  #call(stack: string, name: string, argument: Json): Json {
    if (name === "Ref") return this.#reference(stack, String(argument));
    if (name === "Fn::GetAtt") {
      const [id, attribute] = argument as [string, string];
      // `<hosted zone>:<name>`, first that of all zones.
      if (attribute === "DnsEntries") return [`Z1:${this.#named(stack, id).name}.vpce.amazonaws.com`];
      return this.#attribute(stack, id, attribute);
    }
    const given = this.resolve(stack, argument);
    if (name === "Fn::Join") {
      const [separator, parts] = given as [string, string[]];
      return parts.join(separator);
    }
    if (name === "Fn::Select") {
      const [index, list] = given as [string, Json[]];
      return list[Number(index)] ?? null;
    }
    if (name === "Fn::Split") {
      const [separator, text] = given as [string, string];
      return text.split(separator);
    }
    if (name === "Fn::ImportValue") {
      const value = this.#exports.get(String(given));
      if (value === undefined) throw new Error(`${stack} imports ${given}, which no stack exports`);
      return value;
    }
    throw new Error(`${stack}: ${name} is not evaluated here`);
  }

  #reference(stack: string, id: string): string {
    const pseudo: Record<string, string> = {
      "AWS::AccountId": this.#accountOf(stack),
      "AWS::Region": REGION,
      "AWS::Partition": "aws",
      "AWS::URLSuffix": "amazonaws.com",
      "AWS::StackName": stack,
    };
    if (pseudo[id]) return pseudo[id];
    const parameter = this.templates[stack]?.Parameters?.[id];
    if (parameter) {
      return parameter.Type.startsWith("AWS::SSM::Parameter::Value")
        ? `published:${parameter.Default}`
        : String(parameter.Default);
    }
    return REFERENCES[this.#raw(stack, id).Type]?.(this.#named(stack, id)) ?? this.#named(stack, id).name;
  }

  #attribute(stack: string, id: string, attribute: string): string {
    const { Type } = this.#raw(stack, id);
    const named = this.#named(stack, id);
    if (attribute === "Arn") return ARNS[Type]?.(named) ?? `arn:aws:${id}`;
    return ATTRIBUTES[`${Type}.${attribute}`]?.(named) ?? `${stack}.${id}.${attribute}`;
  }

  #accountOf(stack: string): string {
    return this.#accounts[stack] ?? ACCOUNT;
  }

  #raw(stack: string, id: string): RawResource {
    const raw = this.templates[stack]?.Resources[id];
    if (!raw) throw new Error(`${stack} has no ${id}`);
    return raw;
  }

  #named(stack: string, id: string): Named {
    const properties = this.#raw(stack, id).Properties ?? {};
    const property = (key: string) =>
      properties[key] === undefined ? undefined : String(this.resolve(stack, properties[key]));
    const hash = createHash("sha256").update(`${stack}/${id}`).digest("hex");
    const given = NAME_PROPERTIES.map(property).find((value) => value !== undefined);
    return {
      name: given ?? `${stack}-${id}`.toLowerCase(),
      hash,
      path: property("Path") ?? "/",
      account: this.#accountOf(stack),
    };
  }
}

interface Named {
  name: string;
  hash: string;
  path: string;
  account: string;
}

const NAME_PROPERTIES = [
  "RoleName",
  "ManagedPolicyName",
  "ClusterName",
  "TableName",
  "BucketName",
  "LogGroupName",
  "RepositoryName",
  "BackupVaultName",
  "TopicName",
  "QueueName",
  "Name",
];

const arn = ({ account }: Pick<Named, "account">, service: string, resource: string, region = REGION) =>
  `arn:aws:${service}:${region}:${account}:${resource}`;
const uuid = ({ hash }: Named) => hash.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*/, "$1-$2-$3-$4-$5");

const ARNS: Record<string, (of: Named) => string> = {
  "AWS::KMS::Key": (of) => arn(of, "kms", `key/${uuid(of)}`),
  "AWS::IAM::Role": (of) => arn(of, "iam", `role${of.path}${of.name}`, ""),
  "AWS::ECS::Cluster": (of) => arn(of, "ecs", `cluster/${of.name}`),
  "AWS::S3::Bucket": ({ name }) => arn({ account: "" }, "s3", name, ""),
  "AWS::DynamoDB::Table": (of) => arn(of, "dynamodb", `table/${of.name}`),
  "AWS::Logs::LogGroup": (of) => arn(of, "logs", `log-group:${of.name}:*`),
  "AWS::ECR::Repository": (of) => arn(of, "ecr", `repository/${of.name}`),
  "AWS::SQS::Queue": (of) => arn(of, "sqs", of.name),
  "AWS::ServiceDiscovery::PrivateDnsNamespace": (of) =>
    arn(of, "servicediscovery", `namespace/ns-${of.hash.slice(0, 16)}`),
};

const REFERENCES: Record<string, (of: Named) => string> = {
  "AWS::EC2::Subnet": ({ hash }) => `subnet-${hash.slice(0, 17)}`,
  "AWS::IAM::ManagedPolicy": (of) => arn(of, "iam", `policy${of.path}${of.name}`, ""),
  "AWS::KMS::Key": uuid,
  "AWS::SQS::Queue": ({ account, name }) => `https://sqs.${REGION}.amazonaws.com/${account}/${name}`,
};

const ATTRIBUTES: Record<string, (of: Named) => string> = {
  "AWS::EC2::SecurityGroup.GroupId": ({ hash }) => `sg-${hash.slice(0, 17)}`,
  "AWS::ServiceDiscovery::PrivateDnsNamespace.Id": ({ hash }) => `ns-${hash.slice(0, 16)}`,
  "AWS::Backup::BackupVault.BackupVaultArn": (of) => arn(of, "backup", `backup-vault:${of.name}`),
};

import type { Stack } from "aws-cdk-lib";
import type { Kind } from "../../../services/shared/work/kinds.ts";
import { PLATFORM_ROLE_PATH } from "../container.ts";
import type { CredentialSettings } from "./settings.ts";

/**
 * Names that the intake's stack and the workers' stacks have to agree on. They are composed, not referenced, since a
 * worker's stack may be in an account of its own, which CloudFormation's references do not reach.
 */
export const INTAKE = "intake";
export const INTAKE_TABLE = "strongroom-intake";

/** The service of a kind: its roles, log group and task definitions are named after it. */
export const workerService = (kind: Kind): string => `worker-${kind}`;

/** The secret files of each end of the connections from the intake to the broker, by parameter below a prefix. */
export const brokerParameters = (prefix: string, of: "broker" | "intake"): Record<string, string> =>
  Object.fromEntries(
    BROKER_FILES[of].map((file) => [
      file,
      `${prefix}/platform/${of === "broker" ? "worker-broker" : INTAKE}/${file}`,
    ]),
  );
const BROKER_FILES = {
  broker: ["certificate.pem", "key.pem", "intake-certificate.pem"],
  intake: ["broker-client-certificate.pem", "broker-client-key.pem", "broker-certificate.pem"],
};

/** The role by which operators of a worker's account move dead letters back. */
export const redriveRole = (kind: Kind): string => `strongroom-redrive-${kind}`;

export const QUEUES = ["jobs", "jobs-dead", "results"] as const;
export type QueueName = (typeof QUEUES)[number];

/** The prefix of the names of a kind's queues. */
export const queuePrefix = (kind: Kind): string => `strongroom-${kind}-`;

/** The account of a kind's worker: its own one by the settings, or the stack's. */
export const workerAccount = (stack: Stack, settings: CredentialSettings, kind: Kind): string =>
  settings[kind].account ?? stack.account;

/** The ARN of a queue of a kind, as any stack can compose it. */
export function queueArn(stack: Stack, settings: CredentialSettings, kind: Kind, queue: QueueName): string {
  const account = workerAccount(stack, settings, kind);
  return `arn:${stack.partition}:sqs:${stack.region}:${account}:${queuePrefix(kind)}${queue}`;
}

/** The setting that tells a service its kind's queues: `sqs:` and the part that their URLs share. */
export function queueSetting(stack: Stack, settings: CredentialSettings, kind: Kind): string {
  const account = workerAccount(stack, settings, kind);
  return `sqs:https://sqs.${stack.region}.${stack.urlSuffix}/${account}/${queuePrefix(kind)}`;
}

/** The ARN of one of the platform's own roles in the stack's account. */
export const platformRoleArn = (stack: Stack, name: string): string =>
  `arn:${stack.partition}:iam::${stack.account}:role${PLATFORM_ROLE_PATH}${name}`;

/** The intake's role as a worker's stack knows it, and the account of the intake. */
export function intakeRole(stack: Stack, { intakeRoleArn }: CredentialSettings) {
  return {
    arn: intakeRoleArn ?? platformRoleArn(stack, `strongroom-${INTAKE}`),
    account: intakeRoleArn?.split(":")[4] ?? stack.account,
  };
}

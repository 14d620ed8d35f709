/**
 * Names of an organization's resources on AWS, in one place: the runtime creates them, and the infrastructure's
 * policies allow no other names.
 */

/** IAM path of every role that the control plane may create. */
export const ORG_ROLE_PATH = "/strongroom/orgs/";

/** The tag whose value is the organization's id: on roles it determines their permissions. */
export const ORG_TAG = "org";

/** Names of an organization's resources; all ids have one length, so that no name is a prefix of another. */
export const orgNames = (org: string) => ({
  /** ECS service, and family of its task definitions. */
  service: `strongroom-${org}`,
  /** Reads this organization's parameters at the start of a task. */
  executionRole: `strongroom-${org}-execution`,
  /** Accesses this organization's tables while its Vault runs. */
  taskRole: `strongroom-${org}-task`,
  logGroup: `/strongroom/orgs/${org}`,
});

/** The DynamoDB table of one storage attempt, counted from 1. */
export const orgTable = (org: string, attempt: number): string => `strongroom-${org}-${attempt}`;

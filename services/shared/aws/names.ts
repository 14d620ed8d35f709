/**
 * What things of one organization are called on AWS, in one place: the runtime makes them, and the
 * infrastructure's policies allow nothing that is called otherwise.
 */

/** IAM path of every role that the control plane may make. */
export const ORG_ROLE_PATH = "/strongroom/orgs/";

/** The tag whose value is the organization's id: on roles it is their authority. */
export const ORG_TAG = "org";

/** Names of an organization's resources; ids are of one length, so that no name begins another's. */
export const orgNames = (org: string) => ({
  /** ECS service, and family of its task definitions. */
  service: `strongroom-${org}`,
  /** Opens the parameters of this organization, at the start of a task. */
  executionRole: `strongroom-${org}-execution`,
  /** Opens the tables of this organization, while its Vault runs. */
  taskRole: `strongroom-${org}-task`,
  logGroup: `/strongroom/orgs/${org}`,
});

/** The DynamoDB table of one storage attempt, counted from 1. */
export const orgTable = (org: string, attempt: number): string => `strongroom-${org}-${attempt}`;

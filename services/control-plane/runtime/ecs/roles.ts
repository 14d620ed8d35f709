import {
  AttachRolePolicyCommand,
  CreateRoleCommand,
  DeleteRoleCommand,
  DetachRolePolicyCommand,
  GetRoleCommand,
  type Role,
} from "@aws-sdk/client-iam";
import { hasAwsCode } from "../../../shared/aws/aws-error.ts";
import { ORG_ROLE_PATH, ORG_TAG, orgNames } from "../../../shared/aws/names.ts";
import { StrongroomError } from "../../../shared/errors.ts";
import { type Aws, call, partition } from "./clients.ts";
import { isSamePolicy } from "./trust-policy.ts";

/** ARNs of an organization's two roles. */
export interface OrgRoles {
  execution: string;
  task: string;
}

/**
 * Creates an organization's roles if they are missing: the execution role reads its parameters while a task starts,
 * the task role accesses its tables while its Vault runs. The cell's two shared policies define all their
 * permissions, by the role's tag. A role of the same name with another tag, path or boundary is refused.
 */
export async function ensureRoles(aws: Aws, org: string): Promise<void> {
  const { executionRole, taskRole } = orgNames(org);
  await ensureRole(aws, org, executionRole, aws.cell.executionPolicyArn);
  await ensureRole(aws, org, taskRole, aws.cell.taskPolicyArn);
}

/** ARNs of an organization's roles, whether they exist or not. */
export function orgRoles(cell: Aws["cell"], org: string): OrgRoles {
  const { executionRole, taskRole } = orgNames(org);
  const path = `arn:${partition(cell)}:iam::${cell.account}:role${ORG_ROLE_PATH}`;
  return { execution: path + executionRole, task: path + taskRole };
}

/** Deletes the roles of an organization; a missing role is no error. */
export async function deleteRoles({ iam, cell }: Aws, org: string): Promise<void> {
  const { executionRole, taskRole } = orgNames(org);
  for (const [RoleName, PolicyArn] of [
    [executionRole, cell.executionPolicyArn],
    [taskRole, cell.taskPolicyArn],
  ] as const) {
    await unlessMissing(
      call(
        `IAM DetachRolePolicy ${RoleName}`,
        iam.send(new DetachRolePolicyCommand({ RoleName, PolicyArn })),
      ),
    );
    await unlessMissing(call(`IAM DeleteRole ${RoleName}`, iam.send(new DeleteRoleCommand({ RoleName }))));
  }
}

async function ensureRole(aws: Aws, org: string, RoleName: string, PolicyArn: string): Promise<void> {
  const { iam, cell } = aws;
  const role = await createRole(aws, org, RoleName);
  const tag = role.Tags?.find(({ Key }) => Key === ORG_TAG)?.Value;
  const boundary = role.PermissionsBoundary?.PermissionsBoundaryArn;
  if (
    role.Path !== ORG_ROLE_PATH ||
    tag !== org ||
    boundary !== cell.permissionsBoundaryArn ||
    !isSamePolicy(decodeURIComponent(role.AssumeRolePolicyDocument ?? ""), trustPolicy(aws))
  ) {
    throw new StrongroomError(
      "step_failed",
      `The existing role ${RoleName} was not created for this organization. It was not changed.`,
    );
  }
  await call(
    `IAM AttachRolePolicy ${RoleName}`,
    iam.send(new AttachRolePolicyCommand({ RoleName, PolicyArn })),
  );
}

/** The role in IAM, created if it did not exist. */
async function createRole(aws: Aws, org: string, RoleName: string): Promise<Partial<Role>> {
  const { iam, cell } = aws;
  try {
    await call(
      `IAM CreateRole ${RoleName}`,
      iam.send(
        new CreateRoleCommand({
          RoleName,
          Path: ORG_ROLE_PATH,
          Description: "Created by Strongroom for one organization's Vault",
          AssumeRolePolicyDocument: trustPolicy(aws),
          PermissionsBoundary: cell.permissionsBoundaryArn,
          Tags: [{ Key: ORG_TAG, Value: org }],
        }),
      ),
    );
  } catch (error) {
    if (!hasAwsCode(error, "EntityAlreadyExistsException")) throw error;
  }
  const { Role } = await call(`IAM GetRole ${RoleName}`, iam.send(new GetRoleCommand({ RoleName })));
  return Role ?? {};
}

/** Trusts only ECS tasks of this account. */
function trustPolicy({ cell }: Aws): string {
  const { region, account } = cell;
  return JSON.stringify({
    Version: "2012-10-17",
    Statement: [
      {
        Effect: "Allow",
        Principal: { Service: "ecs-tasks.amazonaws.com" },
        Action: "sts:AssumeRole",
        Condition: {
          StringEquals: { "aws:SourceAccount": account },
          ArnLike: { "aws:SourceArn": `arn:${partition(cell)}:ecs:${region}:${account}:*` },
        },
      },
    ],
  });
}

async function unlessMissing(sent: Promise<unknown>): Promise<void> {
  try {
    await sent;
  } catch (error) {
    if (!hasAwsCode(error, "NoSuchEntityException")) throw error;
  }
}

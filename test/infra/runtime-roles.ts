import {
  CreatePolicyCommand,
  GetRoleCommand,
  IAMClient,
  ListAttachedRolePoliciesCommand,
  ListRolePoliciesCommand,
} from "@aws-sdk/client-iam";
import { awsClients } from "../../services/control-plane/runtime/ecs/clients.ts";
import { ensureRoles } from "../../services/control-plane/runtime/ecs/roles.ts";
import type { Cell } from "../../services/shared/aws/cell.ts";
import { orgNames } from "../../services/shared/aws/names.ts";
import { RateLimits } from "../../services/shared/aws/rates.ts";
import { clientOf } from "../harness/aws/cell.ts";
import type { PolicyDocument, Principal } from "./iam.ts";
import type { CellPolicies } from "./org-battery.ts";

/**
 * Has the runtime make an organization's roles in an emulator that holds the template's policies, and reads
 * them back: what IAM would evaluate. The SDK finds the emulator by its own environment variables.
 */
export async function makeRoles(emulator: string, cell: Cell, policies: CellPolicies, org: string) {
  const iam = new IAMClient(clientOf(emulator));
  const documents: Record<string, PolicyDocument> = {
    [cell.executionPolicyArn]: policies.execution,
    [cell.taskPolicyArn]: policies.task,
    [cell.permissionsBoundaryArn]: policies.boundary,
  };
  for (const [arn, document] of Object.entries(documents)) {
    const [, path, name] = /:policy(\/.*\/)([^/]+)$/.exec(arn) ?? [];
    const PolicyDocument = JSON.stringify(document);
    await iam
      .send(new CreatePolicyCommand({ Path: path, PolicyName: name, PolicyDocument }))
      .catch(({ name }: Error) => {
        if (name !== "EntityAlreadyExistsException") throw new Error(name);
      });
  }
  await ensureRoles(awsClients(cell, new RateLimits()), org);

  const read = async (RoleName: string): Promise<Principal> => {
    const { Role } = await iam.send(new GetRoleCommand({ RoleName }));
    const { AttachedPolicies = [] } = await iam.send(new ListAttachedRolePoliciesCommand({ RoleName }));
    const { PolicyNames = [] } = await iam.send(new ListRolePoliciesCommand({ RoleName }));
    if (PolicyNames.length > 0) throw new Error(`${RoleName} has policies of its own: ${PolicyNames}`);
    const document = (arn = ""): PolicyDocument => {
      const found = documents[arn];
      if (!found) throw new Error(`${RoleName} has ${arn}, which is not the cell's`);
      return found;
    };
    return {
      arn: Role?.Arn ?? "",
      tags: Object.fromEntries((Role?.Tags ?? []).map(({ Key, Value }) => [Key, Value])),
      policies: AttachedPolicies.map(({ PolicyArn }) => document(PolicyArn)),
      boundary: document(Role?.PermissionsBoundary?.PermissionsBoundaryArn),
    };
  };
  const { executionRole, taskRole } = orgNames(org);
  return { execution: await read(executionRole), task: await read(taskRole) };
}

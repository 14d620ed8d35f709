import type { Cell as CellSettings } from "../../services/shared/aws/cell.ts";
import { KINDS } from "../../services/shared/work/kinds.ts";
import { ORG_CLUSTER } from "./cell.ts";
import type { Parts } from "./parts.ts";
import { digestOf, type Settings } from "./settings.ts";

/** The cell's settings for the control plane, in the format that it reads. */
export function cellSettings(
  { cell, network }: Parts,
  { vaultImage, gateways, credentials, orgs }: Settings,
): Partial<CellSettings> {
  const here = KINDS.filter((kind) => credentials[kind].account === undefined);
  const workers = here.reduce((sum, kind) => sum + credentials[kind].tasks, 0);
  return {
    region: cell.region,
    account: cell.account,
    cluster: ORG_CLUSTER,
    subnets: network.vaultSubnets.map(({ subnetId }) => subnetId),
    securityGroups: [network.groups.orgVaults.securityGroupId],
    namespaceId: cell.namespace.namespaceId,
    namespaceName: cell.namespace.namespaceName,
    executionPolicyArn: cell.executionPolicy.managedPolicyArn,
    taskPolicyArn: cell.taskPolicy.managedPolicyArn,
    permissionsBoundaryArn: cell.permissionsBoundary.managedPolicyArn,
    parameterKeyArn: cell.parameterKey.keyArn,
    tableKeyArn: cell.tableKey.keyArn,
    image: network.vaultImages.repositoryUriForDigest(digestOf(vaultImage)),
    // Three nodes of the internal Vault, the control plane, the gateways, an operator's task, the intakes, the workers.
    platformCpu: 3 * 512 + 512 + gateways * 1024 + 256 + credentials.intakes * 1024 + workers * 1024,
    ...orgs,
  };
}

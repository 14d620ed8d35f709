import { GetServiceQuotaCommand } from "@aws-sdk/client-service-quotas";
import { hasAwsCode } from "../../../shared/aws/aws-error.ts";
import { StrongroomError } from "../../../shared/errors.ts";
import { type Aws, call } from "./clients.ts";
import { countServices } from "./service.ts";

const CPU_OF_VCPU = 1024;
/** AWS's codes of the quotas of concurrent Fargate vCPUs: "Fargate On-Demand" and "Fargate Spot". */
const QUOTA = { onDemand: "L-3032A538", spot: "L-36FBB829" };

/**
 * Refuses an organization that would exceed the account's vCPU quota, before anything is created for it: ECS would
 * accept its service but never start its task. If the quota cannot be read, ECS's own error has to suffice.
 */
export async function ensureRoom(aws: Aws): Promise<void> {
  const { cell } = aws;
  if (cell.launchType === "EC2") return;
  const quota = cell.spot ? QUOTA.spot : QUOTA.onDemand;
  const limit = await vcpuOf(aws, quota);
  if (limit === undefined) return;
  const platform = cell.spot ? 0 : cell.platformCpu;
  const needed = (platform + ((await countServices(aws)) + 1) * cell.cpu) / CPU_OF_VCPU;
  if (needed <= limit) return;
  throw new StrongroomError(
    "step_failed",
    `The account's Fargate quota has no capacity for another organization: it would need ${needed} vCPU, and the ` +
      `quota is ${limit}. Request more: aws service-quotas request-service-quota-increase --service-code fargate ` +
      `--quota-code ${quota} --desired-value ${Math.ceil(needed * 2)}`,
  );
}

/** A quota's value; undefined if it cannot be read. */
async function vcpuOf({ quotas }: Aws, QuotaCode: string): Promise<number | undefined> {
  try {
    const { Quota } = await call(
      `Service Quotas GetServiceQuota ${QuotaCode}`,
      quotas.send(new GetServiceQuotaCommand({ ServiceCode: "fargate", QuotaCode })),
    );
    return Quota?.Value;
  } catch (error) {
    if (hasAwsCode(error, "NoSuchResourceException", "AccessDeniedException")) return undefined;
    throw error;
  }
}

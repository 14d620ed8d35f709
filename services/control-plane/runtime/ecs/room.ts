import { GetServiceQuotaCommand } from "@aws-sdk/client-service-quotas";
import { hasAwsCode } from "../../../shared/aws/aws-error.ts";
import { StrongroomError } from "../../../shared/errors.ts";
import { type Aws, call } from "./clients.ts";
import { countServices } from "./service.ts";

const CPU_OF_VCPU = 1024;
/** AWS's codes of the quotas of vCPU that Fargate runs at once: "Fargate On-Demand" and "Fargate Spot". */
const QUOTA = { onDemand: "L-3032A538", spot: "L-36FBB829" };

/**
 * Refuses one organization more than the account's quota of vCPU would run, before anything is made for it: ECS
 * takes its service and never starts its task. Where the quota cannot be read, ECS's own word has to do.
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
    `Fargate has no room for another organization: with it, ${needed} vCPU would run at once, and the account's ` +
      `quota is ${limit}. Ask for more: aws service-quotas request-service-quota-increase --service-code fargate ` +
      `--quota-code ${quota} --desired-value ${Math.ceil(needed * 2)}`,
  );
}

/** A quota's value; undefined where it cannot be read. */
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

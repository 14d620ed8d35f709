import { CreateLogGroupCommand, PutRetentionPolicyCommand } from "@aws-sdk/client-cloudwatch-logs";
import { hasAwsCode } from "../../../shared/aws/aws-error.ts";
import { ORG_TAG, orgNames } from "../../../shared/aws/names.ts";
import { type Aws, call } from "./clients.ts";

/** Creates an organization's log group if it is missing. It is never deleted: it contains the audit log. */
export async function ensureLogGroup({ logs, cell }: Aws, org: string): Promise<void> {
  const { logGroup: logGroupName } = orgNames(org);
  try {
    await call(
      `Logs CreateLogGroup ${logGroupName}`,
      logs.send(new CreateLogGroupCommand({ logGroupName, tags: { [ORG_TAG]: org } })),
    );
  } catch (error) {
    if (!hasAwsCode(error, "ResourceAlreadyExistsException")) throw error;
  }
  await call(
    `Logs PutRetentionPolicy ${logGroupName}`,
    logs.send(new PutRetentionPolicyCommand({ logGroupName, retentionInDays: cell.logRetentionDays })),
  );
}

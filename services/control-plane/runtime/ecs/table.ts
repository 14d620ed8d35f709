import {
  CreateTableCommand,
  DescribeTableCommand,
  ListTagsOfResourceCommand,
  TagResourceCommand,
  UpdateContinuousBackupsCommand,
} from "@aws-sdk/client-dynamodb";
import { hasAwsCode } from "../../../shared/aws/aws-error.ts";
import { ORG_TAG, orgTable } from "../../../shared/aws/names.ts";
import { StrongroomError } from "../../../shared/errors.ts";
import { poll } from "../../../shared/poll.ts";
import { type Aws, call, partition } from "./clients.ts";

const ATTEMPT_TAG = "strongroom:attempt";
/** Tag of a live organization's storage; its value is the time. */
export const READY_TAG = "strongroom:ready";
/** Tag of storage never to be used again; its value is the reason. */
export const SET_ASIDE_TAG = "strongroom:set-aside";

const POLL_MS = 500;
const ACTIVE_WITHIN_MS = 120_000;
const TAGGED_WITHIN_MS = 30_000;
/** Characters that AWS does not allow in a tag's value. */
const NOT_IN_A_TAG = /[^\p{L}\p{Z}\p{N}_.:/=+\-@]/gu;

/**
 * Creates the table of one storage attempt with Vault's schema if it is missing, and waits until it is active.
 * Refuses a table of that name that is not this attempt's, or that was set aside.
 */
export async function ensureTable(aws: Aws, org: string, attempt: number): Promise<void> {
  const TableName = orgTable(org, attempt);
  const isNew = await createTable(aws, org, attempt);
  await whenActive(aws, TableName);
  const tags = await tableTags(aws, org, attempt);
  if (tags?.get(ORG_TAG) !== org || tags.get(ATTEMPT_TAG) !== String(attempt)) {
    throw new StrongroomError(
      "step_failed",
      `The existing table ${TableName} was not created for this organization. It was not changed.`,
    );
  }
  if (tags.has(SET_ASIDE_TAG)) {
    throw new StrongroomError(
      "step_failed",
      `The table ${TableName} was set aside and cannot be used again.`,
    );
  }
  if (isNew) await keepBackups(aws, TableName);
}

/** The tags of an attempt's table; undefined if there is no such table. */
export async function tableTags(
  { dynamodb, cell }: Aws,
  org: string,
  attempt: number,
): Promise<Map<string, string> | undefined> {
  const table = orgTable(org, attempt);
  try {
    // All tags of a table fit on one page.
    const { Tags = [] } = await call(
      `DynamoDB ListTagsOfResource ${table}`,
      dynamodb.send(new ListTagsOfResourceCommand({ ResourceArn: tableArn(cell, table) })),
    );
    return new Map(Tags.map(({ Key = "", Value = "" }) => [Key, Value]));
  } catch (error) {
    if (hasAwsCode(error, "ResourceNotFoundException")) return undefined;
    throw error;
  }
}

/** Tags an attempt's table, and waits until the tag is visible: DynamoDB's tags are eventually consistent. */
export async function tagTable(
  aws: Aws,
  org: string,
  attempt: number,
  key: string,
  value: string,
): Promise<void> {
  const table = orgTable(org, attempt);
  const tag = { Key: key, Value: value.replace(NOT_IN_A_TAG, " ").slice(0, 256) };
  await call(
    `DynamoDB TagResource ${table}`,
    aws.dynamodb.send(new TagResourceCommand({ ResourceArn: tableArn(aws.cell, table), Tags: [tag] })),
  );
  const shows = async () => (await tableTags(aws, org, attempt))?.get(key) === tag.Value || undefined;
  if (!(await poll(shows, { everyMs: POLL_MS, withinMs: TAGGED_WITHIN_MS }))) {
    throw new StrongroomError("step_timeout", `The table ${table} does not show its tag ${key} yet.`);
  }
}

/** Returns false if the table exists already. */
async function createTable({ dynamodb, cell }: Aws, org: string, attempt: number): Promise<boolean> {
  const TableName = orgTable(org, attempt);
  try {
    await call(
      `DynamoDB CreateTable ${TableName}`,
      dynamodb.send(
        new CreateTableCommand({
          TableName,
          KeySchema: [
            { AttributeName: "Path", KeyType: "HASH" },
            { AttributeName: "Key", KeyType: "RANGE" },
          ],
          AttributeDefinitions: [
            { AttributeName: "Path", AttributeType: "S" },
            { AttributeName: "Key", AttributeType: "S" },
          ],
          BillingMode: "PAY_PER_REQUEST",
          DeletionProtectionEnabled: true,
          SSESpecification: { Enabled: true, SSEType: "KMS", KMSMasterKeyId: cell.tableKeyArn },
          Tags: [
            { Key: ORG_TAG, Value: org },
            { Key: ATTEMPT_TAG, Value: String(attempt) },
          ],
        }),
      ),
    );
    return true;
  } catch (error) {
    if (hasAwsCode(error, "ResourceInUseException")) return false;
    throw error;
  }
}

async function whenActive({ dynamodb }: Aws, TableName: string): Promise<void> {
  let status = "unknown";
  const isActive = async () => {
    const { Table } = await call(
      `DynamoDB DescribeTable ${TableName}`,
      dynamodb.send(new DescribeTableCommand({ TableName })),
    );
    status = Table?.TableStatus ?? "unknown";
    return status === "ACTIVE" || undefined;
  };
  if (!(await poll(isActive, { everyMs: POLL_MS, withinMs: ACTIVE_WITHIN_MS }))) {
    throw new StrongroomError("step_timeout", `The table ${TableName} took too long: it is ${status}`);
  }
}

/** Enables point-in-time recovery, which a new table may not support yet. */
async function keepBackups({ dynamodb }: Aws, TableName: string): Promise<void> {
  let refusal: unknown;
  const areKept = async () => {
    try {
      await call(
        `DynamoDB UpdateContinuousBackups ${TableName}`,
        dynamodb.send(
          new UpdateContinuousBackupsCommand({
            TableName,
            PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
          }),
        ),
      );
      return true;
    } catch (error) {
      if (!hasAwsCode(error, "ContinuousBackupsUnavailableException")) throw error;
      refusal = error;
      return undefined;
    }
  };
  if (!(await poll(areKept, { everyMs: POLL_MS, withinMs: ACTIVE_WITHIN_MS }))) throw refusal;
}

const tableArn = (cell: Aws["cell"], table: string) =>
  `arn:${partition(cell)}:dynamodb:${cell.region}:${cell.account}:table/${table}`;

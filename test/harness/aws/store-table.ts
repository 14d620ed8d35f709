import {
  CreateTableCommand,
  DynamoDBClient,
  UpdateContinuousBackupsCommand,
  UpdateTimeToLiveCommand,
} from "@aws-sdk/client-dynamodb";
import { STORE_TABLE } from "../../../services/intake/store/table.ts";
import { clientOf } from "./cell.ts";

/** Makes the intake's table in an emulator, as the infrastructure makes it on AWS. */
export async function makeStoreTable(endpoint: string, TableName: string): Promise<void> {
  const { partitionKey, sortKey, timeToLive, pointInTimeRecovery } = STORE_TABLE;
  const client = new DynamoDBClient(clientOf(endpoint));
  await client.send(
    new CreateTableCommand({
      TableName,
      KeySchema: [
        { AttributeName: partitionKey, KeyType: "HASH" },
        { AttributeName: sortKey, KeyType: "RANGE" },
      ],
      AttributeDefinitions: [
        { AttributeName: partitionKey, AttributeType: "S" },
        { AttributeName: sortKey, AttributeType: "S" },
      ],
      BillingMode: "PAY_PER_REQUEST",
    }),
  );
  const TimeToLiveSpecification = { AttributeName: timeToLive, Enabled: true };
  await client.send(new UpdateTimeToLiveCommand({ TableName, TimeToLiveSpecification }));
  const PointInTimeRecoverySpecification = { PointInTimeRecoveryEnabled: pointInTimeRecovery };
  await client.send(new UpdateContinuousBackupsCommand({ TableName, PointInTimeRecoverySpecification }));
  client.destroy();
}

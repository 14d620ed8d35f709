/**
 * The DynamoDB table of the intake's store, as `dynamodb.ts` expects it. Point-in-time recovery is on: it is the only
 * copy of the organizations' ciphertext.
 */
export const STORE_TABLE = {
  partitionKey: "pk",
  sortKey: "sk",
  timeToLive: "expires",
  pointInTimeRecovery: true,
} as const;

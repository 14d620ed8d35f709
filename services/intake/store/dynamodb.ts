import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import {
  ConditionalCheckFailedException,
  DynamoDBClient,
  type DynamoDBClientConfig,
  GetItemCommand,
  QueryCommand,
  TransactionCanceledException,
  TransactionConflictException,
  TransactWriteItemsCommand,
  UpdateItemCommand,
} from "@aws-sdk/client-dynamodb";
import { awsError } from "../../shared/aws/aws-error.ts";
import { clientSettings } from "../../shared/aws/client-settings.ts";
import { conditionsOf, deletionOf, itemOf, keyOf, updateOf } from "./dynamodb-items.ts";
import { BOUNDARY_KEYS, boundsOf, checkKey, checkWrites } from "./limits.ts";
import { type Item, type Store, StoreUnavailableError, type Write } from "./store.ts";

export interface DynamodbStoreOptions {
  table: string;
  /** Default: the SDK's, as for endpoint and credentials. */
  region?: string;
  endpoint?: string;
  credentials?: NonNullable<DynamoDBClientConfig["credentials"]>;
  /** Milliseconds since 1970. */
  now?: () => number;
}

const SDK_ATTEMPTS = 3;
/** Of a write that another one was in the way of. */
const CONFLICT_ATTEMPTS = 6;
const CONFLICT_WAIT_MS = 20;
/** A page has at most 1 MiB, and may be empty if all of its items have expired. */
const MOST_PAGES = 1_000;

/** The store in a DynamoDB table (see `table.ts`). Reads are strongly consistent. */
export function dynamodbStore(options: DynamodbStoreOptions): Store {
  const { table: TableName, now = Date.now, ...settings } = options;
  const client = new DynamoDBClient({ ...settings, ...clientSettings(SDK_ATTEMPTS) });
  const seconds = () => Math.floor(now() / 1000);

  const call = async <T>(operation: string, send: () => Promise<T>): Promise<T> => {
    try {
      return await send();
    } catch (error) {
      // AWS's message may repeat parts of an item.
      const cause = awsError(`DynamoDB ${operation}`, error, { withMessage: false });
      throw new StoreUnavailableError(cause.message, { cause });
    }
  };

  /** A write of one item. The SDK may send it twice: an item that has this call's token was written by the first. */
  const writeOne = (write: Extract<Write, { body: unknown }>) => {
    const token = randomUUID();
    const command = new UpdateItemCommand({
      TableName,
      ...updateOf(write, token, seconds()),
      ReturnValuesOnConditionCheckFailure: "ALL_OLD",
    });
    return async (): Promise<boolean> => {
      try {
        await client.send(command);
        return true;
      } catch (error) {
        if (error instanceof ConditionalCheckFailedException) return error.Item?.token?.S === token;
        throw error;
      }
    };
  };

  /** The token makes it safe for the SDK to send it twice. */
  const writeAll = (writes: Write[]) => {
    const time = seconds();
    const TransactItems = writes.map((write) =>
      "remove" in write
        ? { Delete: { TableName, ...deletionOf(write, time) } }
        : { Update: { TableName, ...updateOf(write, undefined, time) } },
    );
    return async (): Promise<boolean> => {
      try {
        // A transaction that was cancelled has used up its token.
        const ClientRequestToken = randomUUID();
        await client.send(new TransactWriteItemsCommand({ TransactItems, ClientRequestToken }));
        return true;
      } catch (error) {
        const isUnmet =
          error instanceof TransactionCanceledException && reasonsOf(error).has("ConditionalCheckFailed");
        if (isUnmet) return false;
        throw error;
      }
    };
  };

  return {
    async get<T>(key: { partition: string; sort: string }) {
      checkKey(key);
      const { Item } = await call("GetItem", () =>
        client.send(new GetItemCommand({ TableName, Key: keyOf(key), ConsistentRead: true })),
      );
      return Item && itemOf<T>(Item, seconds());
    },

    async query<T>(partition: string, range?: Parameters<Store["query"]>[1]) {
      checkKey({ partition, sort: "-" });
      const bounds = boundsOf(range);
      const items: Item<T>[] = [];
      if (!bounds) return items;
      let ExclusiveStartKey: ReturnType<typeof keyOf> | undefined;
      for (let page = 0; page < MOST_PAGES; page++) {
        const answer = await call("Query", () =>
          client.send(
            new QueryCommand({
              TableName,
              ...conditionsOf(partition, bounds),
              ConsistentRead: true,
              ScanIndexForward: !bounds.descending,
              Limit: bounds.limit - items.length + BOUNDARY_KEYS,
              ...(ExclusiveStartKey && { ExclusiveStartKey }),
            }),
          ),
        );
        for (const each of answer.Items ?? []) {
          const item = itemOf<T>(each, seconds());
          if (item && bounds.includes(item.sort)) items.push(item);
          if (items.length === bounds.limit) return items;
        }
        if (!answer.LastEvaluatedKey) return items;
        ExclusiveStartKey = answer.LastEvaluatedKey as ReturnType<typeof keyOf>;
      }
      throw new StoreUnavailableError(`DynamoDB Query: more than ${MOST_PAGES} pages`);
    },

    async write(writes) {
      checkWrites(writes);
      const [first, second] = writes;
      // A condition on a removed item cannot tell who removed it: that needs a transaction's token.
      const write = first && !second && "body" in first ? writeOne(first) : writeAll(writes);
      return call("write", () => retryConflicts(write));
    },

    async close() {
      client.destroy();
    },
  };
}

const reasonsOf = (error: TransactionCanceledException): Set<string> =>
  new Set((error.CancellationReasons ?? []).flatMap(({ Code }) => (Code ? [Code] : [])));

const isConflict = (error: unknown): boolean =>
  error instanceof TransactionConflictException ||
  (error instanceof TransactionCanceledException &&
    ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"].some((reason) =>
      reasonsOf(error).has(reason),
    ));

async function retryConflicts<T>(write: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await write();
    } catch (error) {
      if (attempt === CONFLICT_ATTEMPTS || !isConflict(error)) throw error;
      await sleep(Math.random() * CONFLICT_WAIT_MS * 2 ** attempt);
    }
  }
}

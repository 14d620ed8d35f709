import type { AttributeValue } from "@aws-sdk/client-dynamodb";
import { type Bounds, bodyText } from "./limits.ts";
import type { Item, Key, Write } from "./store.ts";
import { STORE_TABLE } from "./table.ts";

type Attributes = Record<string, AttributeValue>;
const { partitionKey, sortKey, timeToLive } = STORE_TABLE;
const NAMES = { "#expires": timeToLive, "#revision": "revision" };
/** An item that has expired counts as absent before DynamoDB deletes it, which may take days. */
const ABSENT = `(attribute_not_exists(${partitionKey}) OR #expires <= :now)`;
const PRESENT = "(#revision = :expect AND (attribute_not_exists(#expires) OR #expires > :now))";

const text = (value: string): AttributeValue => ({ S: value });
const number = (value: number): AttributeValue => ({ N: String(value) });

export const keyOf = ({ partition, sort }: Key): Attributes => ({
  [partitionKey]: text(partition),
  [sortKey]: text(sort),
});

/** An item as DynamoDB has it; undefined if it has expired at `now`, in seconds since 1970. */
export function itemOf<T>(attributes: Attributes, now: number): Item<T> | undefined {
  const expires = attributes[timeToLive]?.N;
  if (expires !== undefined && Number(expires) <= now) return undefined;
  return {
    partition: attributes[partitionKey]?.S ?? "",
    sort: attributes[sortKey]?.S ?? "",
    body: JSON.parse(attributes.body?.S ?? "null") as T,
    revision: Number(attributes.revision?.N),
  };
}

/** `token` marks the item with the call that wrote it. */
export function updateOf(write: Extract<Write, { body: unknown }>, token: string | undefined, now: number) {
  const { expect, expiresAt } = write;
  const sets = ["body = :body"];
  const removes: string[] = [];
  const values: Attributes = { ":body": text(bodyText(write.body)) };
  if (expect === undefined) {
    sets.push("#revision = if_not_exists(#revision, :none) + :one");
    Object.assign(values, { ":none": number(0), ":one": number(1) });
  } else {
    sets.push("#revision = :next");
    values[":next"] = number(expect + 1);
  }
  if (expiresAt === undefined) removes.push("#expires");
  else {
    sets.push("#expires = :expires");
    values[":expires"] = number(expiresAt);
  }
  if (token === undefined) removes.push("#token");
  else {
    sets.push("#token = :token");
    values[":token"] = text(token);
  }
  const removal = removes.length > 0 ? ` REMOVE ${removes.join(", ")}` : "";
  const condition = conditionOf(expect, now);
  return {
    Key: keyOf(write),
    UpdateExpression: `SET ${sets.join(", ")}${removal}`,
    ExpressionAttributeNames: { ...NAMES, "#token": "token" },
    ExpressionAttributeValues: { ...values, ...condition.ExpressionAttributeValues },
    ...(condition.ConditionExpression && { ConditionExpression: condition.ConditionExpression }),
  };
}

export function deletionOf(write: Extract<Write, { remove: true }>, now: number) {
  return { Key: keyOf(write), ...conditionOf(write.expect, now) };
}

interface Condition {
  ConditionExpression?: string;
  ExpressionAttributeNames?: Record<string, string>;
  ExpressionAttributeValues?: Attributes;
}

function conditionOf(expect: number | undefined, now: number): Condition {
  if (expect === undefined) return {};
  if (expect === 0) {
    return {
      ConditionExpression: ABSENT,
      ExpressionAttributeNames: { "#expires": timeToLive },
      ExpressionAttributeValues: { ":now": number(now) },
    };
  }
  return {
    ConditionExpression: PRESENT,
    ExpressionAttributeNames: NAMES,
    ExpressionAttributeValues: { ":now": number(now), ":expect": number(expect) },
  };
}

/** The key condition of a query. DynamoDB takes one on the sort key. */
export function conditionsOf(partition: string, { from, to }: Bounds) {
  const values: Attributes = { ":partition": text(partition) };
  let condition = `${partitionKey} = :partition`;
  if (from !== undefined) values[":from"] = text(from);
  if (to !== undefined) values[":to"] = text(to);
  if (from !== undefined && to !== undefined) condition += ` AND ${sortKey} BETWEEN :from AND :to`;
  else if (from !== undefined) condition += ` AND ${sortKey} >= :from`;
  else if (to !== undefined) condition += ` AND ${sortKey} <= :to`;
  return { KeyConditionExpression: condition, ExpressionAttributeValues: values };
}

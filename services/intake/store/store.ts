/**
 * The intake's store: items in partitions, ordered by a sort key, each with a revision for conditional writes.
 * `sqlite.ts` is the embedded default, `dynamodb.ts` one DynamoDB table. It holds ciphertext and metadata only.
 */
export interface Store {
  get<T>(key: Key): Promise<Item<T> | undefined>;
  /**
   * All of these writes, or none if a condition does not hold: then it returns false. At most 10, each of another item.
   * Throws {@link StoreUnavailableError}; RangeError for what DynamoDB would refuse.
   */
  write(writes: Write[]): Promise<boolean>;
  /** Items of a partition in the order of their sort keys. Expired ones are left out, before they are deleted too. */
  query<T>(partition: string, range?: Range): Promise<Item<T>[]>;
  close(): Promise<void>;
}

export interface Key {
  partition: string;
  sort: string;
}

export interface Item<T> extends Key {
  /** JSON. At most 380 KiB. */
  body: T;
  /** Grows with each write of the item. */
  revision: number;
}

export type Write =
  | (Key & {
      body: unknown;
      /** The item must be absent (0), or have this revision; undefined: whatever it is. */
      expect?: number;
      /** Seconds since 1970; the item is deleted after it. */
      expiresAt?: number;
    })
  | (Key & { remove: true; expect?: number });

export interface Range {
  /** Sort keys that begin with this. */
  prefix?: string;
  /** Sort keys after this one, exclusive, in the direction of the query. */
  after?: string;
  /** Sort keys up to this one, inclusive, in both directions. */
  upTo?: string;
  /** 100 by default, 1,000 at most. */
  limit?: number;
  descending?: boolean;
}

/** The store could not be reached; the same call may succeed later. */
export class StoreUnavailableError extends Error {
  override name = "StoreUnavailableError";
}

import type { Feed } from "../../shared/api/feeds.ts";
import type { FeedItem } from "../../shared/work/messages.ts";
import type { JobFailure } from "../jobs/records.ts";
import type { Key } from "../store/store.ts";

/** A feed. */
export interface FeedRecord extends Omit<Feed, "items" | "nextAt" | "failure"> {
  /** Seconds since 1970. */
  nextFetch: number;
  /** The fetch in progress; `until`: seconds since 1970, after which another may be started. */
  fetching?: { job: string; until: number };
  failure?: JobFailure;
}

export const feedsPartition = (org: string): string => `org/${org}/feeds`;
export const feedKey = (org: string, name: string): Key => ({ partition: feedsPartition(org), sort: name });

/** What is known of a feed's content, apart from its record for its size. */
export interface FeedContent {
  etag?: string;
  lastModified?: string;
  /** Kept items as [digest of their id, sort key], those longest out of the feed first. */
  known: [digest: string, sort: string][];
}

export const contentKey = (org: string, name: string): Key => ({
  partition: `org/${org}/feed-content`,
  sort: name,
});

/** An item of a feed; its sort key is the time at which it was first seen. */
export interface StoredFeedItem extends FeedItem {
  seenAt: string;
}
export const itemsPartition = (org: string, name: string): string => `org/${org}/feed-items/${name}`;

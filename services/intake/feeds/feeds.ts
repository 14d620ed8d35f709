import type { Feed, FeedItemPage, PutFeed } from "../../shared/api/feeds.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { isCanonicalPath } from "../../shared/work/destination.ts";
import { countWrite } from "../counts.ts";
import { checkUrl } from "../credentials/check-destination.ts";
import type { Intake } from "../dependencies.ts";
import { moveDue, type Recurring } from "../due/due-items.ts";
import type { DueHandler } from "../due/loop.ts";
import { type Conditions, checkConditions } from "../http/conditions.ts";
import { afterCursor, asCursor, type PageAsked, pageLimit } from "../http/paging.ts";
import { newWorkId } from "../ids.ts";
import type { Jobs } from "../jobs/jobs.ts";
import type { JobRecord } from "../jobs/records.ts";
import { retryConflicts } from "../retry-conflicts.ts";
import type { Item, Write } from "../store/store.ts";
import { asFailure } from "../uses/view.ts";
import {
  contentKey,
  type FeedContent,
  type FeedRecord,
  feedKey,
  itemsPartition,
  type StoredFeedItem,
} from "./records.ts";
import { deleteItems } from "./store-items.ts";

/** A fetch must have started by then, and a worker has reported a little later. */
const TIMEOUT_SECONDS = 120;
const FETCHED_WITHIN_SECONDS = 300;
/** Intervals vary by so much, so that feeds of one host are not all fetched at once. */
const JITTER = 0.1;

export interface FeedParts {
  intake: Intake;
  jobs: Jobs;
}

/** A feed's record. Throws `not_found`, also for another organization's. */
export async function readFeed(
  { intake: { store } }: FeedParts,
  org: string,
  name: string,
): Promise<Item<FeedRecord>> {
  const found = await store.get<FeedRecord>(feedKey(org, name));
  if (!found) throw new StrongroomError("not_found", "There is no such feed.");
  return found;
}

/** Creates or changes a feed, and fetches it if its URL is new. */
export async function putFeed(
  parts: FeedParts,
  org: string,
  name: string,
  body: PutFeed,
  conditions: Conditions,
): Promise<{ feed: FeedRecord; isNew: boolean }> {
  const { store, now, destinationPorts } = parts.intake;
  const { path } = checkUrl(body.url, destinationPorts);
  if (!isCanonicalPath(path.split("?", 1)[0] ?? "")) {
    const message = "has a path that is not in canonical percent-encoding";
    throw new StrongroomError("invalid_destination", `The URL ${message}.`, {
      errors: [{ pointer: "/body/url", message }],
    });
  }
  return retryConflicts(async () => {
    const found = await store.get<FeedRecord>(feedKey(org, name));
    checkConditions(conditions, found?.body.version);
    const before = found?.body;
    const isSame = before?.url === body.url;
    const at = new Date(now()).toISOString();
    const seconds = Math.floor(now() / 1000);
    const nextFetch = isSame ? Math.min(before.nextFetch, seconds + body.everySeconds) : seconds;
    const { failure: _, fetching: __, title: ___, lastFetchedAt: ____, ...kept } = before ?? {};
    const feed: FeedRecord = {
      ...(isSame ? before : kept),
      ...{ name, ...body, nextFetch, updatedAt: at },
      version: (before?.version ?? 0) + 1,
      createdAt: before?.createdAt ?? at,
    };
    const isWritten = await store.write([
      { ...feedKey(org, name), body: feed, expect: found?.revision ?? 0 },
      ...moveDue(dueOf(org, name), before?.nextFetch, nextFetch),
      // Another URL's validators and items are another feed's: its items stay, its validators do not.
      ...(before && !isSame ? [await forgetValidators(parts, org, name)] : []),
      ...(found ? [] : [await countWrite(store, org, "feeds", 1)]),
    ]);
    return isWritten ? { feed, isNew: !found } : undefined;
  });
}

async function forgetValidators({ intake: { store } }: FeedParts, org: string, name: string): Promise<Write> {
  const content = await store.get<FeedContent>(contentKey(org, name));
  return {
    ...contentKey(org, name),
    body: { known: content?.body.known ?? [] } satisfies FeedContent,
    expect: content?.revision ?? 0,
  };
}

/** Deletes a feed with its items. */
export async function deleteFeed(
  parts: FeedParts,
  org: string,
  name: string,
  conditions: Conditions,
): Promise<void> {
  const { store } = parts.intake;
  await retryConflicts(async () => {
    const found = await readFeed(parts, org, name);
    checkConditions(conditions, found.body.version);
    const isWritten = await store.write([
      { ...feedKey(org, name), remove: true, expect: found.revision },
      { ...contentKey(org, name), remove: true },
      ...moveDue(dueOf(org, name), found.body.nextFetch, undefined),
      await countWrite(store, org, "feeds", -1),
    ]);
    return isWritten || undefined;
  });
  await deleteItems(store, org, name);
}

/** Items of a feed in the order in which they were first seen, after a cursor that stays good for later ones. */
export async function feedItems(
  parts: FeedParts,
  org: string,
  name: string,
  asked: PageAsked,
): Promise<FeedItemPage> {
  await readFeed(parts, org, name);
  const items = await parts.intake.store.query<StoredFeedItem>(itemsPartition(org, name), {
    ...afterCursor(asked),
    limit: pageLimit(asked),
  });
  const last = items.at(-1);
  const next = last ? asCursor(last.sort) : asked.cursor;
  return { items: items.map(({ body }) => body), ...(next !== undefined && { next }) };
}

/** Fetches a feed now, unless that is going on. */
export async function fetchNow(parts: FeedParts, org: string, name: string): Promise<FeedRecord> {
  const found = await readFeed(parts, org, name);
  const started = await startFetch(parts, org, found);
  return started ?? (await readFeed(parts, org, name)).body;
}

/** Starts the fetch of a feed that is due. */
export function feedDueHandler(parts: FeedParts): DueHandler {
  const { store } = parts.intake;
  return async (item) => {
    if (item.body.type !== "feed") return;
    const { org, name } = item.body;
    const found = await store.get<FeedRecord>(feedKey(org, name));
    if (found?.body.nextFetch === item.body.slot) await startFetch(parts, org, found);
    else await store.write([{ partition: item.partition, sort: item.sort, remove: true }]);
  };
}

/**
 * Records a fetch together with the time of the next one, and sends it. Undefined if another intake did, or changed the
 * feed. While a fetch is going on, only the next time moves.
 */
async function startFetch(
  { intake, jobs }: FeedParts,
  org: string,
  { body: feed, revision }: Item<FeedRecord>,
): Promise<FeedRecord | undefined> {
  const { store, now } = intake;
  const seconds = Math.floor(now() / 1000);
  const vary = 1 + JITTER * (2 * Math.random() - 1);
  const nextFetch = seconds + Math.max(1, Math.round(feed.everySeconds * vary));
  const isFetching = feed.fetching !== undefined && feed.fetching.until > seconds;
  const job: JobRecord = jobs.create({
    ...{ id: newWorkId(now()), org, kind: "feed", timeoutSeconds: TIMEOUT_SECONDS },
    work: { type: "fetch", feed: feed.name, url: feed.url },
  });
  const changed: FeedRecord = {
    ...feed,
    nextFetch,
    ...(!isFetching && { fetching: { job: job.id, until: seconds + FETCHED_WITHIN_SECONDS } }),
  };
  const isWritten = await store.write([
    { ...feedKey(org, feed.name), body: changed, expect: revision },
    ...moveDue(dueOf(org, feed.name), feed.nextFetch, nextFetch),
    ...(isFetching ? [] : jobs.writes(job, 0)),
  ]);
  if (!isWritten) return undefined;
  if (!isFetching) await jobs.send(job);
  return changed;
}

/** A record as the API shows it. */
export async function asFeed(
  { intake: { store } }: FeedParts,
  org: string,
  record: FeedRecord,
): Promise<Feed> {
  const content = await store.get<FeedContent>(contentKey(org, record.name));
  const { nextFetch, fetching: _, failure, ...feed } = record;
  return {
    ...feed,
    items: content?.body.known.length ?? 0,
    nextAt: new Date(nextFetch * 1000).toISOString(),
    ...(failure && { failure: asFailure(failure) }),
  };
}

const dueOf = (org: string, name: string): Recurring => ({ type: "feed", org, name });

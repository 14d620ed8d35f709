import { createHash } from "node:crypto";
import { parseFeed } from "feedsmith";
import type { FeedItem } from "../../shared/work/messages.ts";
import { JobFailure } from "../job-failure.ts";

const MAX_ITEMS = 500;
/** All items of a result together, as JSON: a message has at most 1 MiB. */
const MAX_ITEMS_BYTES = 716_800;
const DECLARES_ENTITIES = /<!DOCTYPE[^>[]{0,500}\[/i;

interface Parsed {
  title?: string;
  items: FeedItem[];
}

/** The members of the four formats' items that are used. */
interface RawItem {
  title?: unknown;
  url?: unknown;
  link?: unknown;
  links?: { href?: string; rel?: string }[];
  guid?: { value?: string };
  id?: unknown;
  external_url?: unknown;
  pubDate?: unknown;
  published?: unknown;
  updated?: unknown;
  date_published?: unknown;
  date_modified?: unknown;
  dc?: { date?: unknown; dates?: unknown[] };
  description?: unknown;
  summary?: unknown;
  content?: unknown;
  content_text?: unknown;
  content_html?: unknown;
}

/**
 * The title and items of an RSS, Atom, RDF or JSON feed, the items in the feed's order, shortened to what a result may
 * hold. Throws JobFailure `answer_unusable` if it is no feed, or declares entities.
 */
export function parseFeedText(body: Buffer, contentType: string | undefined): Parsed {
  const text = decode(body, contentType);
  if (DECLARES_ENTITIES.test(text)) throw unusable("the feed declares entities");
  let feed: { title?: unknown; items?: RawItem[]; entries?: RawItem[] };
  try {
    ({ feed } = parseFeed(text, { maxItems: MAX_ITEMS }) as { feed: typeof feed });
  } catch {
    throw unusable("the answer is not an RSS, Atom or JSON feed");
  }
  const title = textOf(feed.title, 1024);
  return { ...(title !== undefined && { title }), items: bounded(feed.items ?? feed.entries ?? []) };
}

const unusable = (detail: string) => new JobFailure("answer_unusable", detail);

function decode(body: Buffer, contentType = ""): string {
  const declared =
    /charset="?([A-Za-z0-9_-]{1,40})/i.exec(contentType)?.[1] ??
    /^<\?xml[^>]{0,200}encoding=["']([A-Za-z0-9_-]{1,40})/.exec(body.toString("latin1", 0, 300))?.[1] ??
    "utf-8";
  try {
    return new TextDecoder(declared).decode(body);
  } catch {
    throw unusable("the feed's character encoding is not known");
  }
}

function bounded(raw: RawItem[]): FeedItem[] {
  const items = new Map<string, FeedItem>();
  let bytes = 0;
  for (const each of raw.slice(0, MAX_ITEMS)) {
    const item = itemOf(each);
    if (!item || items.has(item.id)) continue;
    bytes += Buffer.byteLength(JSON.stringify(item)) + 1;
    if (bytes > MAX_ITEMS_BYTES) break;
    items.set(item.id, item);
  }
  return [...items.values()];
}

function itemOf(raw: RawItem): FeedItem | undefined {
  const title = textOf(raw.title, 1024);
  const url = urlOf(raw);
  const publishedAt = dateOf(
    raw.pubDate ??
      raw.published ??
      raw.date_published ??
      raw.dc?.dates?.[0] ??
      raw.dc?.date ??
      raw.updated ??
      raw.date_modified,
  );
  const summary = textOf(
    raw.summary ?? raw.description ?? raw.content_text ?? raw.content_html ?? raw.content,
    4096,
  );
  const named = textOf(raw.guid?.value ?? raw.id, 4096) ?? url;
  if (named === undefined && title === undefined && summary === undefined) return undefined;
  // An item without an id is known by what it says.
  const id = named ?? JSON.stringify([title, publishedAt, summary]);
  return {
    id: id.length > 1024 || named === undefined ? `sha256:${digest(id)}` : id,
    ...(title !== undefined && { title }),
    ...(url !== undefined && { url }),
    ...(publishedAt !== undefined && { publishedAt }),
    ...(summary !== undefined && { summary }),
  };
}

const digest = (text: string): string => createHash("sha256").update(text).digest("hex");

function urlOf({ url, link, links, external_url }: RawItem): string | undefined {
  const alternate = links?.find(({ rel }) => rel === undefined || rel === "alternate")?.href;
  const text = [url, link, alternate, external_url].find((each) => typeof each === "string");
  if (typeof text !== "string" || text.length > 2048 || !URL.canParse(text)) return undefined;
  return ["https:", "http:"].includes(new URL(text).protocol) ? text : undefined;
}

function dateOf(value: unknown): string | undefined {
  const text = value instanceof Date ? value.toISOString() : value;
  if (typeof text !== "string") return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : new Date(ms).toISOString();
}

/** The text of a member, which some formats wrap in an object; at most `max` characters, no half of a pair. */
function textOf(value: unknown, max: number): string | undefined {
  const inner = typeof value === "object" && value !== null ? (value as { value?: unknown }).value : value;
  if (typeof inner !== "string") return undefined;
  const text = inner.trim();
  return text === "" ? undefined : text.slice(0, max).toWellFormed();
}

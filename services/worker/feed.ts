import { parseOrigin } from "../shared/work/destination.ts";
import { FeedMessage, type Outcome } from "../shared/work/messages.ts";
import { parseFeedText } from "./feed/parse-feed.ts";
import { Politeness } from "./feed/politeness.ts";
import { JobFailure } from "./job-failure.ts";
import type { Answer, Exchange } from "./outbound/exchange.ts";
import type { Run, Work } from "./work.ts";

const MAX_FEED_BYTES = 2_097_152;
const ACCEPT =
  "application/atom+xml, application/rss+xml, application/feed+json, application/xml;q=0.9, text/xml;q=0.9, application/json;q=0.8, */*;q=0.1";
const USER_AGENT = "Strongroom-Feed/1";
const DEFAULT_RETRY_AFTER_SECONDS = 60;

/** Fetches feeds, which takes no credential: this kind of worker has no key at all. */
export function feedWork(
  exchange: Exchange,
  politeness: Politeness = new Politeness(),
): Work<typeof FeedMessage> {
  return { schema: FeedMessage, perform: fetchFeed };

  async function fetchFeed(message: FeedMessage, { signal, reached }: Run): Promise<Outcome> {
    const { origin, host, path } = placeOf(message.url);
    const headers: [string, string][] = [
      ["Accept", ACCEPT],
      ["Accept-Encoding", "identity"],
      ["User-Agent", USER_AGENT],
    ];
    if (message.etag !== undefined) headers.push(["If-None-Match", printable(message.etag)]);
    if (message.lastModified !== undefined) {
      headers.push(["If-Modified-Since", printable(message.lastModified)]);
    }
    reached("opened");
    const answer = await politeness.take(host, signal, () =>
      exchange({ origin, method: "GET", path, headers, body: undefined, maxBody: MAX_FEED_BYTES }, signal),
    );
    reached("sent");
    return outcomeOf(answer, message, (seconds) => politeness.pause(host, seconds));
  }
}

function outcomeOf(answer: Answer, message: FeedMessage, pause: (seconds: number) => number): Outcome {
  const { status } = answer;
  if (status === 304) {
    const { etag, lastModified } = message;
    const known = {
      ...(etag !== undefined && { etag }),
      ...(lastModified !== undefined && { lastModified }),
    };
    return { state: "fetched", notModified: true, items: [], ...known, ...validatorsOf(answer) };
  }
  if (status === 429 || status >= 500) {
    const asked = status === 429 || status === 503 ? retryAfter(headerOf(answer, "retry-after")) : undefined;
    const detail = asked === undefined ? "" : `; the next request to this host is in ${pause(asked)} s`;
    throw new JobFailure("unreachable", `the host answered with status ${status}${detail}`, {
      isFinal: true,
    });
  }
  if (status >= 300 && status < 400) {
    throw new JobFailure(
      "answer_unusable",
      `the feed has moved (status ${status}); redirects are not followed`,
    );
  }
  if (status !== 200) throw new JobFailure("answer_unusable", `the host answered with status ${status}`);
  const { title, items } = parseFeedText(answer.body, headerOf(answer, "content-type"));
  return {
    ...{ state: "fetched" as const, notModified: false, items },
    ...(title !== undefined && { title }),
    ...validatorsOf(answer),
  };
}

/** Where a feed is. Throws JobFailure if the URL is not https in canonical form. */
function placeOf(text: string): { origin: string; host: string; path: string } {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const origin = url && parseOrigin(url.origin);
  if (!url || !origin || url.username || url.password || !isCanonical(text, url)) {
    throw new JobFailure(
      "destination_refused",
      "the feed's URL is not https with a DNS name in canonical form",
    );
  }
  return { origin: url.origin, host: origin.host, path: `${url.pathname}${url.search}` };
}

/** A parser changes what is not canonical, such as dot segments, backslashes and other spellings of the host. */
const isCanonical = (text: string, url: URL): boolean =>
  url.href === (text === url.origin ? `${text}/` : text) && !text.includes("#");

function validatorsOf(answer: Answer): { etag?: string; lastModified?: string } {
  const etag = headerOf(answer, "etag");
  const lastModified = headerOf(answer, "last-modified");
  return {
    ...(etag !== undefined && etag.length <= 512 && { etag }),
    ...(lastModified !== undefined && lastModified.length <= 128 && { lastModified }),
  };
}

const headerOf = ({ headers }: Answer, wanted: string): string | undefined =>
  headers.find(([name]) => name.toLowerCase() === wanted)?.[1];

function printable(value: string): string {
  if (/^[\x20-\x7e\x80-\xff]*$/.test(value)) return value;
  throw new JobFailure("malformed", "a validator of the feed is malformed");
}

/** Seconds from a `Retry-After`, which is a number of seconds or a date. */
function retryAfter(value: string | undefined): number {
  if (value === undefined) return DEFAULT_RETRY_AFTER_SECONDS;
  if (/^[0-9]{1,9}$/.test(value)) return Number(value);
  const ms = Date.parse(value) - Date.now();
  return Number.isNaN(ms) ? DEFAULT_RETRY_AFTER_SECONDS : Math.max(0, Math.ceil(ms / 1000));
}

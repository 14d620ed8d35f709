import { beforeEach, describe, expect } from "vitest";
import { newOrgId } from "../../services/shared/org.ts";
import type { FeedMessage, Outcome } from "../../services/shared/work/messages.ts";
import { Politeness } from "../../services/worker/feed/politeness.ts";
import { feedWork } from "../../services/worker/feed.ts";
import { createExchange, type Exchange } from "../../services/worker/outbound/exchange.ts";
import { exceptionFor, newJobId, originOf } from "../harness/credential-jobs.ts";
import { test } from "../harness/fixtures.ts";
import type { Recorder } from "../harness/recorder.ts";

const RSS = `<?xml version="1.0"?><rss version="2.0"><channel><title>News</title>
  <item><guid>1</guid><title>One &amp; only</title><link>https://news.example/1</link>
  <pubDate>Tue, 01 Dec 2026 04:00:00 GMT</pubDate><description>First</description></item></channel></rss>`;

let destination: Recorder;
let exchange: Exchange;
let perform: (changes?: Partial<FeedMessage>) => Promise<Outcome>;
test.beforeAll(({ recordedOrg: { internal, recorder } }) => {
  destination = recorder;
  const exception = exceptionFor(recorder, internal.ca);
  exchange = createExchange({ privateDestinations: new Map([[exception.origin, exception]]) });
});
beforeEach(() => {
  destination.clear();
  destination.answer = (_, response) =>
    response
      .writeHead(200, { "Content-Type": "application/rss+xml", ETag: '"a"', "Last-Modified": "yesterday" })
      .end(RSS);
  const work = feedWork(exchange, new Politeness({ gapMs: 0 }));
  perform = (changes = {}) =>
    work.perform(
      {
        ...{ type: "fetch", job: newJobId(), org: newOrgId(), attempt: 1, notAfter: 4_000_000_000 },
        url: `${originOf(destination)}/feed.xml?a=1`,
        ...changes,
      },
      { signal: new AbortController().signal, reached: () => {} },
    );
});

describe("a fetch", () => {
  test("returns the items and the validators", async () => {
    expect(await perform()).toEqual({
      ...{ state: "fetched", notModified: false, title: "News", etag: '"a"', lastModified: "yesterday" },
      items: [
        {
          ...{ id: "1", title: "One & only", url: "https://news.example/1", summary: "First" },
          publishedAt: "2026-12-01T04:00:00.000Z",
        },
      ],
    });
    expect(destination.requests).toMatchObject([
      { method: "GET", url: "/feed.xml?a=1", headers: { "accept-encoding": "identity" } },
    ]);
    expect(destination.requests[0]?.headers).not.toHaveProperty("if-none-match");
  });

  test("is conditional, and says if nothing has changed", async () => {
    destination.answer = (_, response) => response.writeHead(304, { ETag: '"b"' }).end();
    expect(await perform({ etag: '"a"', lastModified: "monday" })).toEqual({
      ...{ state: "fetched", notModified: true, items: [], etag: '"b"', lastModified: "monday" },
    });
    expect(destination.requests[0]?.headers).toMatchObject({
      "if-none-match": '"a"',
      "if-modified-since": "monday",
    });
  });

  test.each([
    [301, "answer_unusable"],
    [404, "answer_unusable"],
    [410, "answer_unusable"],
    [500, "unreachable"],
    [503, "unreachable"],
  ])("of a feed that answers with %i fails as %s", async (status, failure) => {
    destination.answer = (_, response) => response.writeHead(status, { Location: "/elsewhere" }).end();
    await expect(perform()).rejects.toMatchObject({ failure, isTransient: false });
    expect(destination.requests).toHaveLength(1);
  });

  test("honours Retry-After: the host gets no further request until then", async () => {
    destination.answer = (_, response) => response.writeHead(429, { "Retry-After": "120" }).end();
    await expect(perform()).rejects.toMatchObject({
      failure: "unreachable",
      message: expect.stringContaining("120 s"),
    });
    await expect(perform()).rejects.toMatchObject({ failure: "unreachable", isTransient: false });
    expect(destination.requests).toHaveLength(1);
  });

  test("of 2 MiB and one byte fails", async () => {
    destination.answer = (_, response) => response.end(Buffer.alloc(2_097_153, " "));
    await expect(perform()).rejects.toMatchObject({ failure: "answer_too_large" });
  });

  test("with a line break in a validator is not sent", async () => {
    await expect(perform({ etag: '"a"\r\nCookie: b' })).rejects.toMatchObject({ failure: "malformed" });
    expect(destination.connections).toBe(0);
  });
});

describe("a URL", () => {
  test.each([
    ...[
      "http://news.example/",
      "https://news.example:443/",
      "https://127.0.0.1/",
      "https://news.example/a/../b",
    ],
    ...[
      "https://user@news.example/",
      "https://news.example/#a",
      "https://NEWS.example/",
      "https://news.example\\a",
    ],
    ...["not a URL", "https://news.example/a b", "https://news.example/\n"],
  ])("%s is refused", async (url) => {
    await expect(perform({ url })).rejects.toMatchObject({ failure: "destination_refused" });
  });
});

import fc from "fast-check";
import { Value } from "typebox/value";
import { describe, expect, test } from "vitest";
import { Outcome } from "../../../services/shared/work/messages.ts";
import { parseFeedText } from "../../../services/worker/feed/parse-feed.ts";

const parse = (text: string | Buffer, type?: string) => parseFeedText(Buffer.from(text as string), type);
const rss = (items: string, head = "") =>
  `<?xml version="1.0"?>${head}<rss version="2.0"><channel><title>T</title>${items}</channel></rss>`;
const fits = (parsed: ReturnType<typeof parse>) =>
  Value.Check(Outcome, { state: "fetched", notModified: false, ...parsed });

describe("formats", () => {
  test("Atom", () => {
    const text = `<feed xmlns="http://www.w3.org/2005/Atom"><title>A</title><entry><id>urn:1</id><title type="html">&lt;b&gt;One</title>
      <link rel="self" href="https://a.example/self"/><link href="https://a.example/1"/><updated>2026-12-01T04:00:00Z</updated>
      <summary>S</summary></entry></feed>`;
    expect(parse(text)).toEqual({
      title: "A",
      items: [
        {
          ...{ id: "urn:1", title: "<b>One", url: "https://a.example/1", summary: "S" },
          publishedAt: "2026-12-01T04:00:00.000Z",
        },
      ],
    });
  });

  test("RDF", () => {
    const text = `<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/">
      <channel rdf:about="https://r.example"><title>R</title></channel>
      <item rdf:about="https://r.example/1"><title>One</title><link>https://r.example/1</link></item></rdf:RDF>`;
    expect(parse(text)).toMatchObject({ title: "R", items: [{ id: "https://r.example/1", title: "One" }] });
  });

  test("JSON feed", () => {
    const text = JSON.stringify({
      ...{ version: "https://jsonfeed.org/version/1.1", title: "J" },
      items: [
        { id: "1", url: "https://j.example/1", content_text: "C", date_published: "2026-12-01T04:00:00Z" },
      ],
    });
    expect(parse(text)).toEqual({
      title: "J",
      items: [{ id: "1", url: "https://j.example/1", summary: "C", publishedAt: "2026-12-01T04:00:00.000Z" }],
    });
  });

  test("other character sets, by header or declaration", () => {
    const latin = Buffer.from(rss("<item><guid>1</guid><title>Zo\u00eb</title></item>"), "latin1");
    expect(parse(latin, "text/xml; charset=ISO-8859-1").items[0]?.title).toBe("Zoë");
    const declared = latin.toString("latin1").replace('"1.0"', '"1.0" encoding="ISO-8859-1"');
    expect(parse(Buffer.from(declared, "latin1")).items[0]?.title).toBe("Zoë");
  });
});

describe("items", () => {
  test("without an id are known by their address, or by what they say", () => {
    const { items } = parse(
      rss("<item><link>https://a.example/1</link></item><item><title>Only a title</title></item><item/>"),
    );
    expect(items.map(({ id }) => id)).toEqual([
      "https://a.example/1",
      expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
    ]);
  });

  test("come once each, and links are http or https only", () => {
    const { items } = parse(
      rss(
        "<item><guid>1</guid><link>javascript:alert(1)</link></item><item><guid>1</guid><title>again</title></item>",
      ),
    );
    expect(items).toEqual([{ id: "1" }]);
  });

  test("are bounded in number and size, whatever the feed", () => {
    const many = parse(
      rss("<item><guid>{n}</guid></item>".repeat(5_000).replaceAll("{n}", () => String(Math.random()))),
    );
    expect(many.items).toHaveLength(500);
    const long = "\u20ac".repeat(5_000);
    const large = parse(
      rss(
        Array.from(
          { length: 200 },
          (_, n) =>
            `<item><guid>${n}${long}</guid><title>${long}</title><description>${long}</description></item>`,
        ).join(""),
      ),
    );
    expect(fits(large)).toBe(true);
    expect(Buffer.byteLength(JSON.stringify(large))).toBeLessThan(800_000);
    expect(large.items.length).toBeGreaterThan(20);
  });
});

describe("what is no feed, or attacks its reader", () => {
  test.each([
    ["nothing", ""],
    ["HTML", "<html><body>hello</body></html>"],
    ["JSON", '{"a":1}'],
    ["half a feed", rss("").slice(0, 30)],
    [
      "entities that grow",
      rss(
        "<item><title>&c;</title></item>",
        '<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;"><!ENTITY c "&b;&b;">]>',
      ),
    ],
    [
      "an entity of a file",
      rss("<item><title>&x;</title></item>", '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>'),
    ],
    ["an unknown character set", "\ufeff"],
  ])("%s", (name, text) => {
    const type = name === "an unknown character set" ? "text/xml; charset=none" : undefined;
    expect(() => parse(text, type)).toThrow(expect.objectContaining({ failure: "answer_unusable" }));
  });

  test("an external definition is not loaded", () => {
    const head = '<!DOCTYPE rss SYSTEM "https://evil.example/x.dtd">';
    expect(parse(rss("<item><guid>1</guid><title>&x;</title></item>", head)).items).toEqual([
      { id: "1", title: "&x;" },
    ]);
  });

  test.each([
    [
      "elements inside each other",
      rss(`<item><guid>1</guid>${"<a>".repeat(100_000)}${"</a>".repeat(100_000)}</item>`),
    ],
    ["elements that stay open", rss(`<item><guid>1</guid>${"<a>".repeat(300_000)}`)],
    [
      "JSON inside each other",
      `{"version":"https://jsonfeed.org/version/1.1","items":${"[".repeat(200_000)}${"]".repeat(200_000)}}`,
    ],
    ["many attributes", rss(`<item ${'a="1" '.repeat(200_000)}><guid>1</guid></item>`)],
    ["document types that do not end", "<!DOCTYPE".repeat(200_000)],
    ["many entities", rss(`<item><guid>1</guid><title>${"&amp;".repeat(300_000)}</title></item>`)],
    ["open CDATA", rss(`<item><guid>1</guid><title>${"<![CDATA[".repeat(200_000)}`)],
    ["open comments", rss("<!--".repeat(400_000))],
    ["open tags", rss("<".repeat(1_500_000))],
    ["a long name", rss(`<${"a".repeat(1_500_000)}>`)],
  ])("%s take less than five seconds and end no process", (_, text) => {
    const before = performance.now();
    try {
      expect(fits(parse(text))).toBe(true);
    } catch (error) {
      expect(error).toMatchObject({ failure: "answer_unusable" });
    }
    expect(performance.now() - before).toBeLessThan(5_000);
  });

  test("whatever comes is a result that its schema takes, or refused", () => {
    const piece = fc.oneof(
      fc.constantFrom(
        "<item>",
        "</item>",
        "<title>",
        "</title>",
        "<guid>",
        "</guid>",
        "<link>",
        "<![CDATA[",
        "]]>",
        "&lt;",
        "&#0;",
        "&#x110000;",
        "<pubDate>",
        "\0",
        "\ud800",
      ),
      fc.string({ maxLength: 10 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        try {
          expect(fits(parse(rss(pieces.join(""))))).toBe(true);
        } catch (error) {
          expect(error).toMatchObject({ failure: "answer_unusable" });
        }
      }),
      { numRuns: 500 },
    );
  });
});

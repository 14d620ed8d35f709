import { makeSealingKeyPair } from "../../../../services/shared/envelope/sealing.ts";
import { newJobId } from "../../../harness/credential-jobs.ts";
import type { Way } from "./way.ts";

const expired = Math.floor(Date.now() / 1000) - 1;

/** Jobs at the wrong time, of the wrong form, and questions that no worker answers. */
export const misuses: Way[] = [
  {
    way: "replay: a job that has expired",
    failure: "expired",
    message: ({ thief, victim }) => thief.use(victim, {}, { notAfter: expired }),
  },
  {
    way: "seal anew: under another policy",
    failure: "not_openable",
    message: async ({ thief, victim, elsewhere }) => {
      const { request: _, ...use } = await thief.use({
        ...victim,
        policy: { ...victim.policy, origin: elsewhere },
      });
      return { ...use, type: "rewrap" };
    },
  },
  {
    way: "seal anew: for another version",
    failure: "not_openable",
    message: async ({ thief, victim }) => {
      const { request: _, ...use } = await thief.use({ ...victim, version: 99 });
      return { ...use, type: "rewrap" };
    },
  },
  {
    way: "seal anew: a sealing key's private half",
    failure: "not_openable",
    message: async ({ thief, byClient }) => {
      const { request: _, ...use } = await thief.use({ ...byClient, credential: "@sealing-key" });
      return { ...use, type: "rewrap", material: { envelope: byClient.material.privateKey } };
    },
  },
  {
    way: "result: to a key that is no point",
    failure: "request_not_allowed",
    message: ({ thief, victim }) =>
      thief.use(victim, {}, { sealResultTo: Buffer.alloc(65).toString("base64url") }),
  },
  {
    way: "result: to a compressed point",
    failure: "request_not_allowed",
    message: async ({ thief, victim }) => {
      const { publicKey } = await makeSealingKeyPair();
      const compressed = Buffer.concat([Buffer.from([2]), publicKey.subarray(1, 33)]);
      return thief.use(victim, {}, { sealResultTo: compressed.toString("base64url") });
    },
  },
  ...(
    [
      ["a purpose", { purpose: "webhook" }],
      ["a destination", { destination: "https://elsewhere.example" }],
      ["that it shall not scrub", { scrub: false }],
      [
        "an operator's exception",
        { privateDestinations: [{ origin: "https://a.example", address: "127.0.0.1" }] },
      ],
      ["a proxy", { proxy: "http://127.0.0.1:1" }],
      ["another prototype", JSON.parse('{"__proto__":{"policy":{"origin":"https://elsewhere.example"}}}')],
      ["a list of materials", { material: [] }],
      ["a type of its own", { type: "reveal" }],
      ["the type of sealing keys", { type: "make-sealing-key" }],
      ["the version as text", { version: "2" }],
      ["the version as a fraction", { version: 1.5 }],
    ] as const
  ).map(
    ([way, change]): Way => ({
      way: `message: with ${way}`,
      failure: "malformed",
      message: async ({ thief, victim }) => {
        const use = await thief.use(victim);
        // Not by assignment, which would set the prototype.
        for (const [name, value] of Object.entries(change)) {
          Object.defineProperty(use, name, { value, enumerable: true });
        }
        return use;
      },
    }),
  ),
];

const feed = (way: string, change: object, failure: Way["failure"] = "malformed"): Way => ({
  way: `feed: ${way}`,
  kind: "feed",
  failure,
  message: async ({ victim }) => ({
    ...{ type: "fetch", job: newJobId(), org: victim.org, attempt: 1 },
    ...{ notAfter: Math.floor(Date.now() / 1000) + 300, url: "https://feeds.example/a" },
    ...change,
  }),
});

/** What a feed's worker, which has no key, is asked to fetch and to open. */
export const feeds: Way[] = [
  ...[
    "http://feeds.example/a",
    "https://127.0.0.1/a",
    "https://[::1]/a",
    "https://169.254.169.254/latest/meta-data/",
  ],
  ...[
    "https://169.254.170.2/v2/credentials",
    "https://localhost/a",
    "https://2130706433/",
    "https://0x7f.1/",
  ],
  ...["https://[::ffff:169.254.169.254]/", "https://[64:ff9b::a9fe:a9fe]/", "https://a@feeds.example/a"],
  ...[
    "https://feeds.example/../a",
    "https://feeds.example/a#b",
    "https:feeds.example/a",
    "//feeds.example/a",
  ],
  ...[
    "file:///proc/self/environ",
    "data:text/xml,<rss/>",
    "ftp://feeds.example/a",
    "https://FEEDS.example/a",
  ],
  ...[
    "https://feeds.example\\@127.0.0.1/",
    "https://feeds.example:443/a",
    "https://feeds.example./a",
    "https://vault/",
  ],
]
  .map((url) => feed(`fetch ${url}`, { url }, "destination_refused"))
  .concat([
    feed("an entity tag with a line break", { etag: '"a"\r\nHost: elsewhere.example' }),
    feed("a date with a line break", { lastModified: "a\nHost: elsewhere.example" }),
    feed("headers of its own", { headers: { Host: "elsewhere.example" } }),
    feed("a method of its own", { method: "POST" }),
    {
      ...feed("a credential's use", {}),
      message: ({ thief, victim }) => thief.use(victim),
    },
    {
      ...feed("a fetch with an envelope", {}),
      message: async ({ thief, victim }) => ({
        ...{
          type: "fetch",
          url: "https://feeds.example/a",
          material: victim.material,
          policy: victim.policy,
        },
        ...{ job: newJobId(), org: victim.org, attempt: 1, notAfter: (await thief.use(victim)).notAfter },
      }),
    },
    feed("to make a sealing key", { type: "make-sealing-key", key: "kaaaaaaaaaaaaaaa", url: undefined }),
  ]);

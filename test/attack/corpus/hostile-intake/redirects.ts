import type { DestinationPolicy } from "../../../../services/shared/work/destination.ts";
import type { Takeover } from "../../../harness/takeover.ts";
import type { Stolen } from "../../../harness/thief.ts";
import type { Way } from "./way.ts";

type Change = (policy: DestinationPolicy, takeover: Takeover) => object;

/** The victim's credential under another policy, with a request that was sealed for that policy. */
const altered = (way: string, change: Change): Way => ({
  way: `redirect: ${way}`,
  failure: "not_openable",
  message: (takeover) => {
    const { thief, victim } = takeover;
    const policy = { ...victim.policy, ...change(victim.policy, takeover) };
    return thief.use({ ...victim, policy });
  },
});

const origin = (way: string, spell: (origin: string) => string): Way =>
  altered(way, ({ origin }) => ({ origin: spell(origin) }));

/** A policy that is malformed as a message's part, before anything is opened. */
const malformed = (way: string, change: Change): Way => ({ ...altered(way, change), failure: "malformed" });

/** Sends a stored credential to another place, or in another way, than it was sealed for. */
export const redirects: Way[] = [
  altered("to another host", (_, { elsewhere }) => ({ origin: elsewhere })),
  altered("with another method", ({ methods }) => ({ methods: [...methods, "DELETE"] })),
  altered("with fewer methods", () => ({ methods: ["GET"] })),
  altered("to every path", () => ({ paths: ["/**"] })),
  altered("to another path", ({ paths }) => ({ paths: [...paths, "/v1/charges", "/echo"] })),
  altered("in another header", () => ({ inject: { header: "X-Echo", format: "{}" } })),
  altered("in another format", () => ({ inject: { header: "Authorization", format: "{}" } })),
  altered("in a format with more space", () => ({
    inject: { header: "Authorization", format: "Bearer  {}" },
  })),
  altered("twice in one header", () => ({ inject: { header: "Authorization", format: "Bearer {}{}" } })),
  altered("in a cookie", () => ({ inject: { header: "Cookie", format: "session={}" } })),
  origin("to another port", (origin) => origin.replace(/\d+$/, "443")),
  origin("to no port", (origin) => origin.replace(/:\d+$/, "")),
  origin("to a host with a dot at the end", (origin) => origin.replace(/:(\d+)$/, ".:$1")),
  origin("with user information", (origin) => origin.replace("https://", "https://a@")),
  origin("with another host as user information", (origin) => `${origin}@elsewhere.example`),
  origin("with a path", (origin) => `${origin}/`),
  origin("with a fragment", (origin) => `${origin}#`),
  origin("with a query", (origin) => `${origin}?`),
  origin("with a backslash", (origin) => `${origin}\\@elsewhere.example`),
  origin("in upper case", (origin) => origin.toUpperCase()),
  origin("by http", (origin) => origin.replace("https:", "http:")),
  origin("to a subdomain", (origin) => origin.replace("https://", "https://a.")),
  origin("to a longer name", (origin) => origin.replace(/:(\d+)$/, ".elsewhere.example:$1")),
  origin("with a line break", (origin) => `${origin}\r\nHost: elsewhere.example`),
  origin("with white space", (origin) => ` ${origin}`),
  origin("with a NUL", (origin) => `${origin}\u0000`),
  origin("to this machine", () => "https://127.0.0.1:443"),
  {
    ...altered("as a webhook's signature", () => ({ inject: { signature: "standard-webhooks" } })),
    way: "redirect: as a webhook's signature",
  },
  malformed("with a line break in the header", () => ({
    inject: { header: "X-A\r\nX-B", format: "{}" },
  })),
  malformed("with a line break in the format", () => ({
    inject: { header: "Authorization", format: "Bearer {}\r\nX-Echo: {}" },
  })),
  malformed("without a place in the format", () => ({ inject: { header: "Authorization", format: "none" } })),
  malformed("in a header and as a signature", () => ({
    inject: { header: "Authorization", format: "Bearer {}", signature: "standard-webhooks" },
  })),
  malformed("with a member of its own", () => ({ redirect: "https://elsewhere.example" })),
  malformed("with a method of its own", () => ({ methods: ["CONNECT"] })),
  malformed("without a path", () => ({ paths: [] })),
  malformed("to a list of origins", ({ origin }, { elsewhere }) => ({ origin: [origin, elsewhere] })),
  {
    way: "redirect: an older version under the newest policy",
    failure: "not_openable",
    message: ({ thief, victim, older }) => thief.use({ ...older, policy: victim.policy }),
  },
  {
    way: "redirect: the newest version under an older, wider policy",
    failure: "not_openable",
    message: ({ thief, victim, older }) =>
      thief.use({ ...victim, policy: older.policy }, { path: "/v0/echo", method: "DELETE" }),
  },
  {
    way: "redirect: another policy, sealed into an envelope's context in clear",
    failure: "not_openable",
    message: async ({ thief, victim, elsewhere }) => {
      const policy = { ...victim.policy, origin: elsewhere };
      const found = Buffer.from((victim.material as { envelope: string }).envelope, "base64");
      const [was, is] = [victim, { ...victim, policy }].map((each) => thief.context(each).policy);
      const at = found.indexOf(was as string);
      if (at < 0) throw new Error("the envelope does not show its context");
      found.write(is as string, at);
      return thief.use({ ...victim, policy, material: { envelope: found.toString("base64") } });
    },
  },
];

/** The thief's own value under a policy that no intake would accept: the worker does not connect for it either. */
const ownAt = (spelled: string): Way => ({
  way: `connect: ${spelled}`,
  failure: "destination_refused",
  message: async (takeover) => takeover.thief.use(await own(takeover, { origin: spelled })),
});

async function own({ thief, victim }: Takeover, change: Partial<DestinationPolicy>): Promise<Stolen> {
  const policy = { ...victim.policy, ...change };
  const mine = { org: victim.org, credential: "thief", version: 1, policy };
  const envelope = await thief.seal("integration", thief.context(mine), "a value of the thief's own");
  return { ...mine, material: { envelope } };
}

const injecting = (header: string): Way => ({
  way: `inject: the thief's own value as ${header}`,
  failure: "policy_mismatch",
  message: async (takeover) => takeover.thief.use(await own(takeover, { inject: { header, format: "{}" } })),
});

/** Uses a worker as a way into the network, or to frame messages, with a value that the thief has sealed itself. */
export const connections: Way[] = [
  ...["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "169.254.170.2", "10.0.0.1"],
  ...["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "localhost", "vault", "[fd00:ec2::254]"],
  ...["a@127.0.0.1", "example.com@127.0.0.1", "127.0.0.1#example.com", "example.com.", "EXAMPLE.com"],
  ...[
    "example.com:",
    "example.com:0443",
    "example.com:443",
    "example.com:65536",
    "ex%61mple.com",
    "①②⑦.0.0.1",
  ],
  ...["example.com/..", "example.com\\@127.0.0.1", "*.example.com", "a..example.com", "-a.example.com"],
]
  .map((host) => ownAt(`https://${host}`))
  .concat(
    ["http://example.com", "ftp://example.com", "file:///etc/passwd", "unix:/run/vault.sock"].map(ownAt),
  )
  .concat(["Host", "Transfer-Encoding", "Content-Length", "Connection", "Idempotency-Key"].map(injecting));

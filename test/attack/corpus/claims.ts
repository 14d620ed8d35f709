import { compact } from "../../harness/tokens.ts";
import { each, headerOf, seconds, type TokenClass } from "./token-class.ts";

/** Kinds of value that a time may not have, whatever moment they would mean. */
const NO_TIMES = (moment: number): unknown[] => [
  ...[
    String(moment),
    `${moment}`.padStart(20, "0"),
    moment + 0.5,
    -moment,
    moment * 1000,
    2 ** 53,
    2 ** 53 + 2,
  ],
  ...[
    1e308,
    -1,
    true,
    null,
    [moment],
    { seconds: moment },
    "",
    "tomorrow",
    new Date(moment * 1000).toISOString(),
  ],
];

/** Texts that look like another text: by letter case, by what nobody sees, by other scripts, by encodings. */
const lookAlikes = (text: string): string[] =>
  [
    ...[
      text.toUpperCase(),
      `${text} `,
      ` ${text}`,
      `${text}\n`,
      `${text}\u0000`,
      `${text}\u200b`,
      `\ufeff${text}`,
    ],
    ...[
      text.replace("o", "\u043e"),
      text.replace("r", "\uff52"),
      text.replace("_", "\u2017"),
      text.replace("_", "-"),
    ],
    ...[
      text.replace("_", "."),
      text.replace("_", ""),
      `${text}/`,
      `./${text}`,
      `${text}%00`,
      `${text}?`,
      `${text}#`,
    ],
    ...[text.replace("o", "%6f"), encodeURIComponent(`${text}/`), `${text},x`, `x,${text}`, `${text}.`],
    ...[text.slice(0, -1), `${text}${text}`, [...text].reverse().join(""), text.replace("o", "o\u0301")],
  ].filter((other) => other !== text);

/** Attacks by what a token claims, each properly signed by its issuer: RFC 8725 sections 3.8, 3.9, 3.11, 3.12. */
export const CLAIM_CLASSES: TokenClass[] = [
  {
    name: "an end, a beginning or a making that is no time",
    control: ({ rs }) => ({
      "all three": rs.token({ nbf: seconds() - 1 }),
      "the longest life": rs.token({ iat: seconds(), exp: seconds() + 3600 }),
    }),
    hostile: ({ rs }) => ({
      ...each(NO_TIMES(seconds() + 300), (exp) => rs.token({ exp }), "exp "),
      ...each(NO_TIMES(seconds() - 10), (iat) => rs.token({ iat, exp: seconds() + 300 }), "iat "),
      ...each(
        NO_TIMES(seconds() - 10).filter((value) => !(typeof value === "number" && value < seconds())),
        (nbf) => rs.token({ nbf }),
        "nbf ",
      ),
      "no exp": rs.token({ exp: undefined }),
      "no iat": rs.token({ iat: undefined }),
      "over this second": rs.token({ iat: seconds() - 60, exp: seconds() }),
      "over, within others' leeway": rs.token({ iat: seconds() - 60, exp: seconds() - 30 }),
      "too long a life": rs.token({ exp: seconds() + 3_602 }),
      "made in the future": rs.token({ iat: seconds() + 5 }),
      "not yet begun": rs.token({ nbf: seconds() + 5 }),
      "ends before it is made": rs.token({ iat: seconds() - 10, exp: seconds() - 20 }),
      "made at the beginning of time": rs.token({ iat: 0 }),
    }),
  },
  {
    name: "another issuer, or one that is no text",
    control: ({ rs }) => ({ "the issuer": rs.token() }),
    hostile: ({ rs, es }) => ({
      ...each(lookAlikes(rs.issuer.issuer), (iss) => rs.token({ iss })),
      ...each([[rs.issuer.issuer], [], {}, null, 0, true, "", undefined], (iss) => rs.token({ iss })),
      "another of the directory": rs.token({ iss: es.issuer.issuer }),
      "plain HTTP": rs.token({ iss: rs.issuer.issuer.replace("https", "http") }),
      "with its port": rs.token({ iss: rs.issuer.issuer.replace(/\/$/, ":443/") }),
      "two in a text": rs.token({ iss: `${rs.issuer.issuer} ${es.issuer.issuer}` }),
    }),
  },
  {
    name: "for another audience, as tokens of the same issuer's other applications are",
    control: ({ rs }) => ({
      "ours in a list, as providers put it": rs.token({
        aud: [rs.issuer.audience, "https://x.example/userinfo"],
      }),
    }),
    hostile: ({ rs, es }) => ({
      ...each(lookAlikes(rs.issuer.audience), (aud) => rs.token({ aud })),
      ...each(lookAlikes(rs.issuer.audience).slice(0, 8), (aud) => rs.token({ aud: [aud] }), "in a list "),
      ...each([[], [[rs.issuer.audience]], {}, null, 0, "", "*", ["*"], undefined], (aud) =>
        rs.token({ aud }),
      ),
      "an object with ours": rs.token({ aud: { 0: rs.issuer.audience, length: 1 } }),
      "a list with something that is no text": rs.token({ aud: [rs.issuer.audience, 1] }),
      "a list without end": rs.token({
        aud: [rs.issuer.audience, ...Array.from({ length: 300 }, () => "x")],
      }),
      "an id token: another application's client id": rs.token({
        aud: "client-7",
        nonce: "n",
        azp: "client-7",
      }),
      "an access token of another API": rs.token({ aud: "https://other.example/api", scope: "openid" }),
      "the control plane's": rs.token({
        aud: "https://strongroom.test/control-plane",
        permissions: ["orgs:write"],
      }),
      "another issuer's audience": rs.token({ aud: es.issuer.audience }),
      "ours as azp alone": rs.token({ aud: "x", azp: rs.issuer.audience, client_id: rs.issuer.audience }),
    }),
  },
  {
    name: "a subject that is no text",
    control: ({ rs }) => ({ "any text": rs.token({ sub: "auth0|a b/../c'\u{1f600}" }) }),
    hostile: ({ rs }) => ({
      ...each([[], ["u"], {}, null, 0, 1, true, "", undefined], (sub) => rs.token({ sub })),
      "too long": rs.token({ sub: "u".repeat(513) }),
      "half of a surrogate": rs.token({ sub: "\ud800" }),
    }),
  },
  {
    name: "a claim that only looks like the organization's",
    control: ({ rs }) => ({
      "beside the real one": rs.token({ org_name: "org_globex", orgId: "org_globex", ORG_ID: "org_globex" }),
    }),
    hostile: ({ rs }) => {
      const without = (changes: Record<string, unknown>) => rs.token({ org_id: undefined, ...changes });
      return {
        ...each(lookAlikes("org_id"), (name) => without({ [name]: "org_acme" })),
        ...each(
          [
            "org_name",
            "orgId",
            "organization_id",
            "organization",
            "tenant",
            "https://strongroom.test/org_id",
          ],
          (name) => without({ [name]: "org_acme" }),
        ),
        "in an object": without({ org: { id: "org_acme" }, user: { org_id: "org_acme" } }),
        "in a name with dots": without({ "org.org_id": "org_acme" }),
        "by a pointer": without({ "/org_id": "org_acme", "$.org_id": "org_acme" }),
        "in the header": rs.token({ org_id: undefined }, { org_id: "org_acme" }),
        "of a prototype": compact(
          headerOf(rs),
          JSON.stringify(rs.claims({ org_id: undefined })).replace(
            "{",
            '{"__proto__":{"org_id":"org_acme"},',
          ),
          rs.pair,
        ),
      };
    },
  },
  {
    name: "an organization that is no text, and lists of groups that are no lists",
    control: ({ rs }) => ({ "a list of groups": rs.token({ [rs.issuer.groupsClaim]: ["reader", "x"] }) }),
    hostile: ({ rs }) => ({
      ...each(
        [["org_acme"], ["org_globex", "org_acme"], [], { org_acme: true }, null, 0, 1, true, ""],
        (org_id) => rs.token({ org_id }),
      ),
      ...each(
        ["admin", "[admin]", { admin: true }, [["admin"]], [1], [null], 1, true, { 0: "admin", length: 1 }],
        (g) => rs.token({ [rs.issuer.groupsClaim]: g }),
        "groups ",
      ),
      "groups without end": rs.token({ [rs.issuer.groupsClaim]: Array.from({ length: 257 }, () => "x") }),
      "permissions as text": rs.token({ permissions: "admin" }),
    }),
  },
  {
    name: "a good token of an organization that is not served, or is spelled otherwise",
    unknownOrg: true,
    control: ({ rs }) => ({ served: rs.token() }),
    hostile: ({ rs }) => ({
      ...each(lookAlikes("org_acme"), (org_id) => rs.token({ org_id })),
      ...each(
        ["__proto__", "constructor", "toString", "*", "..", "../org_acme", "org_acme\norg_acme"],
        (org_id) => rs.token({ org_id }),
      ),
      "another issuer and claim in one": rs.token({ org_id: `${rs.issuer.issuer}\norg_acme` }),
    }),
  },
];

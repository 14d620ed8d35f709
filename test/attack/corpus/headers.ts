import { createHash, createPrivateKey, X509Certificate } from "node:crypto";
import { compact, encode, newPair, type SigningPair } from "../../harness/tokens.ts";
import { each, headerOf, hmacSigned, signed, type TokenClass, type TokenWorld } from "./token-class.ts";

const KIDS = [
  ...["", " ", "../../dev/null", "/dev/null", "..\\..\\x", "/proc/self/environ", "file:///dev/null"],
  ...["' OR 1=1 --", "x' UNION SELECT 'key' --", "'; DROP TABLE keys; --", '{"$ne":null}', "*", "%00"],
  ...["http://127.0.0.1/jwks", "https://evil.example/key", "$(id)", "`id`", "| id", "\r\nX: y", "\u0000"],
  ...["__proto__", "constructor", "toString", "length", "0", "undefined", "null", "k".repeat(257)],
  ...["k".repeat(4_000), 0, 1, -1, 1e308, true, null, [], ["kid"], {}, { kid: "kid" }],
];

/** Members of a header that bring a key, or that change what the rest means. */
const MEMBERS: [string, unknown][] = [
  ["crit", ["exp"]],
  ["crit", []],
  ["crit", "exp"],
  ["crit", ["alg"]],
  ["crit", ["b64"]],
  ["crit", null],
  ["b64", false],
  ["b64", true],
  ["zip", "DEF"],
  ["cty", "JWT"],
  ["enc", "A256GCM"],
  ["epk", {}],
  ["p2c", 2 ** 31 - 1],
  ["p2s", "AAAA"],
  ["apu", "AAAA"],
  ["iv", "AAAA"],
  ["tag", "AAAA"],
  ["nonce", "x"],
  ["url", "https://strongroom.test/api"],
  ["iss", "https://auth.strongroom.test/"],
  ["ALG", "none"],
  ["Alg", "RS256"],
  ["alg ", "none"],
  ["KID", "x"],
  ["exp", 9_999_999_999],
  ["", ""],
];

const TYPES = [
  ...["id_token", "ID", "JWS", "JWE", "JOSE", "JOSE+JSON", "logout+jwt", "secevent+jwt", "dpop+jwt", "jwk"],
  ...[
    "strongroom-directory+jws",
    "at+jws",
    "jwt+at",
    "application/json",
    "text/jwt",
    "JWT ",
    " JWT",
    "jwt\u0000",
    "",
  ],
  ...["application/application/jwt", "/jwt", "application/", "application/secevent+jwt"],
  ...["\uff2aWT", 0, 1, true, null, [], ["JWT"], {}],
];

/** Attacks by the header of a token, and on how a token is written: RFC 8725 sections 2.5 to 2.10, 3.6, 3.7, 3.10, 3.11. */
export const HEADER_CLASSES: TokenClass[] = [
  {
    name: "a kid that asks for something else than a key of the set",
    control: ({ rs }) => ({ "the issuer's": rs.token() }),
    hostile: ({ rs }) => ({
      ...each(KIDS, (kid) => rs.token({}, { kid }), "signed "),
      "none at all": compact(headerOf(rs, { kid: undefined }), rs.claims(), rs.pair),
      "an empty file's": hmacSigned(rs, "HS256", "", "/dev/null"),
      "in capitals": rs.token({}, { kid: rs.pair.kid.toUpperCase() }),
      "and a space": rs.token({}, { kid: `${rs.pair.kid} ` }),
      "of another issuer": rs.token({}, { kid: "x" }),
    }),
  },
  {
    name: "a key that the token brings, or says where to fetch",
    control: ({ rs, es }) => ({
      "x5t, which names a key and brings none": rs.token({}, { x5t: "AAAA", "x5t#S256": "AAAA" }),
      ES256: es.token(),
    }),
    hostile: broughtKeys,
  },
  {
    name: "a member of the header that changes what the rest means",
    control: ({ rs }) => ({ RS256: rs.token() }),
    hostile: ({ rs }) => {
      const named = MEMBERS.map(([name, value], i) => [
        `${i} ${name} ${JSON.stringify(value)}`,
        rs.token({}, { [name]: value }),
      ]);
      const text = JSON.stringify(headerOf(rs));
      const proto = text.replace("{", '{"__proto__":{"alg":"none"},');
      return {
        ...Object.fromEntries(named),
        __proto__: compact(proto, rs.claims(), rs.pair),
        "the payload not encoded": `${encode(headerOf(rs, { b64: false, crit: ["b64"] }))}.{}.AAAA`,
      };
    },
  },
  {
    name: "a type that is another kind of token's",
    control: ({ rs }) => ({
      JWT: rs.token(),
      jwt: rs.token({}, { typ: "jwt" }),
      "at+jwt": rs.token({}, { typ: "at+jwt" }),
      "in full": rs.token({}, { typ: "application/at+jwt" }),
      none: compact(headerOf(rs, { typ: undefined }), rs.claims(), rs.pair),
    }),
    hostile: ({ rs }) => each(TYPES, (typ) => rs.token({}, { typ })),
  },
  {
    name: "a member or a claim twice",
    control: ({ rs }) => ({ "each once": compact(headerOf(rs), JSON.stringify(rs.claims()), rs.pair) }),
    hostile: ({ rs }) => {
      const header = JSON.stringify(headerOf(rs));
      const claims = JSON.stringify(rs.claims());
      const inHeader = ['"alg":"none",', `"alg":"RS256",`, '"kid":"x",', '"typ":"x",', '"\\u0061lg":"none",'];
      const inClaims = [
        ...[
          '"org_id":"org_globex",',
          '"iss":"https://evil.example/",',
          '"sub":"x",',
          '"aud":"x",',
          '"exp":1,',
        ],
        ...['"iat":1,', '"org\\u005fid":"org_globex",', '"org_id":"org_acme",', '"x":{"a":1,"a":2},'],
        ...['"x":[{"a":1,"\\u0061":2}],', '"x":1,"x":1,', '"\\u0069ss":"https://evil.example/",'],
      ];
      const first = (text: string, more: string) => text.replace("{", `{${more}`);
      const last = (text: string, more: string) => text.replace(/\}$/, `,${more.slice(0, -1)}}`);
      return {
        ...each(inHeader, (more) => compact(first(header, more), claims, rs.pair), "header, first "),
        ...each(inHeader, (more) => compact(last(header, more), claims, rs.pair), "header, last "),
        ...each(inClaims, (more) => compact(header, first(claims, more), rs.pair), "claims, first "),
        ...each(inClaims, (more) => compact(header, last(claims, more), rs.pair), "claims, last "),
      };
    },
  },
  {
    name: "text that readers differ about",
    control: ({ rs }) => ({
      "white space, as JSON has it": compact(
        ` ${JSON.stringify(headerOf(rs))}\n`,
        `\t${JSON.stringify(rs.claims())} `,
        rs.pair,
      ),
      "names beyond ASCII": rs.token({ "na\u00efve": "\u{1f600}" }),
    }),
    hostile: ({ rs }) => {
      const header = JSON.stringify(headerOf(rs));
      const claims = JSON.stringify(rs.claims());
      const bytes = (value: Buffer) => value.toString("base64url");
      const both = (name: string, change: (text: string) => Buffer) => ({
        [`header ${name}`]: signed(bytes(change(header)), encode(claims), rs.pair),
        [`claims ${name}`]: signed(encode(header), bytes(change(claims)), rs.pair),
      });
      const written = (name: string, change: (text: string) => string) =>
        both(name, (text) => Buffer.from(change(text)));
      return {
        ...both("UTF-16", (text) => Buffer.from(text, "utf16le")),
        ...both("overlong UTF-8", (text) => Buffer.from(text.replace("}", ',"x":"\u00c1\u0081"}'), "latin1")),
        ...both("a byte that UTF-8 has not", (text) =>
          Buffer.from(text.replace("}", ',"x":"\u00ff"}'), "latin1"),
        ),
        ...both("half of a surrogate", (text) =>
          Buffer.concat([Buffer.from(text.replace(/\}$/, ',"x":"')), Buffer.from("eda080227d", "hex")]),
        ),
        ...written("a byte order mark", (text) => `\ufeff${text}`),
        ...written("a comma more", (text) => text.replace(/\}$/, ",}")),
        ...written("a comment", (text) => `/**/${text}`),
        ...written("single quotes", (text) => text.replaceAll('"', "'")),
        ...written("something after it", (text) => `${text}{}`),
        ...written("a null after it", (text) => `${text}\u0000`),
        ...written("in a list", (text) => `[${text}]`),
        ...written("as a text", (text) => JSON.stringify(text)),
        ...written("null", () => "null"),
        ...written("nothing", () => ""),
        ...written("a number", () => "1"),
        ...written("nested too deep", (text) => text.replace(/\}$/, `,"x":${"[".repeat(2_500)}`)),
      };
    },
  },
];

function broughtKeys({ rs, es, evil, certificate }: TokenWorld) {
  const own: SigningPair = { ...newPair("RS256"), kid: rs.pair.kid };
  const ec = createPrivateKey(certificate.key);
  const byCertificate: SigningPair = {
    alg: "RS256",
    kid: rs.pair.kid,
    privateKey: ec,
    publicKey: own.publicKey,
  };
  const der = new X509Certificate(certificate.certificate).raw;
  const x5c = [der.toString("base64")];
  const thumbprint = createHash("sha256").update(der).digest("base64url");
  const jwk = { ...own.publicKey.export({ format: "jwk" }), kid: rs.pair.kid, alg: "RS256", use: "sig" };
  const jku = evil.issuer.jwksUri;
  const brought = { jwk, jku, x5u: jku, x5c, jwks: { keys: [jwk] }, jwks_uri: jku };
  const tokens: Record<string, string> = {};
  for (const [name, value] of Object.entries(brought)) {
    tokens[`${name}, by the key it brings`] = compact(headerOf(rs, { [name]: value }), rs.claims(), own);
    tokens[`${name}, another kid`] = compact(headerOf(rs, { [name]: value, kid: "own" }), rs.claims(), own);
    tokens[`${name}, no kid`] = compact(headerOf(rs, { [name]: value, kid: undefined }), rs.claims(), own);
    tokens[`${name}, by the issuer's own key`] = rs.token({}, { [name]: value });
  }
  return {
    ...tokens,
    "a jku that only begins like the issuer's": rs.token({}, { jku: `${rs.issuer.jwksUri}@evil.example` }),
    "x5t of the key it is signed by": compact(headerOf(rs, { "x5t#S256": thumbprint }), rs.claims(), own),
    "kid is the address": evil.token({ iss: rs.issuer.issuer, aud: rs.issuer.audience }, { kid: jku }),
    "a certificate of the platform's own authority": compact(headerOf(es, { x5c }), es.claims(), {
      ...byCertificate,
      alg: ec.asymmetricKeyType === "rsa" ? "RS256" : "ES256",
    }),
  };
}

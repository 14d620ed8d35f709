import { createPublicKey } from "node:crypto";
import { CompactEncrypt, FlattenedSign, GeneralSign } from "jose";
import { compact, encode, respell } from "../../harness/tokens.ts";
import { each, headerOf, signed, type TokenClass, type TokenWorld } from "./token-class.ts";

/** How text in base64url may be spelled otherwise and yet be read by lenient decoders. */
const SPELLINGS: Record<string, (part: string) => string> = {
  padding: (part) => `${part}=`,
  "padding of two": (part) => `${part}==`,
  "a space inside": (part) => `${part.slice(0, 5)} ${part.slice(5)}`,
  "a space twice": (part) => `${part.slice(0, 5)}  ${part.slice(5)}`,
  "a tab inside": (part) => `${part.slice(0, 5)}\t${part.slice(5)}`,
  "a star inside": (part) => `${part.slice(0, 5)}*${part.slice(5)}`,
  "a percent code": (part) => `%${part.charCodeAt(0).toString(16)}${part.slice(1)}`,
  "a plus inside": (part) => `${part.slice(0, 5)}+${part.slice(5)}`,
  "a quote around": (part) => `"${part}"`,
  "one character less": (part) => part.slice(0, -1),
  "one character more": (part) => `${part}A`,
};

/** Attacks by another form than a compact JWS in its one spelling: RFC 7515 appendix C, RFC 8725 section 2.7, 2.8. */
export const FORM_CLASSES: TokenClass[] = [
  {
    name: "base64url spelled otherwise",
    control: ({ es }) => ({ canonical: es.token() }),
    hostile: ({ rs, es }) => {
      const tokens: Record<string, string> = {};
      for (const [name, spell] of Object.entries(SPELLINGS)) {
        for (const part of [0, 1, 2]) {
          const parts = rs.token().split(".");
          parts[part] = spell(parts[part] ?? "");
          tokens[`${name}, part ${part}`] = parts.join(".");
          // Signed as it is spelled, so that only the spelling is wrong.
          if (part < 2)
            tokens[`${name}, part ${part}, signed so`] = signed(parts[0] ?? "", parts[1] ?? "", rs.pair);
        }
      }
      return { ...tokens, "unused bits set in the signature": respell(es.token()) ?? "", ...unusedBits(rs) };
    },
  },
  {
    name: "parts too many, too few, empty or moved",
    control: ({ rs }) => ({ three: rs.token() }),
    hostile: ({ rs }) => {
      const token = rs.token();
      const [header = "", payload = "", mac = ""] = token.split(".");
      const parts = [
        ...[`${token}.`, `${token}.x`, `.${token}`, `${token}.${token}`, `${token},${token}`, `${token};x`],
        ...[`${header}.${payload}`, `${header}..${mac}`, `.${payload}.${mac}`, `${header}.${mac}.${payload}`],
        ...[
          `${payload}.${header}.${mac}`,
          `${header}.${payload}.${mac}.${payload}`,
          "..",
          ".",
          "a.b.c",
          "...",
        ],
        ...[
          `${header}.${payload}..${mac}`,
          `${header}%2e${payload}%2e${mac}`,
          `Bearer ${token}`,
          `"${token}"`,
        ],
        ...[
          `${header}.${payload}.${mac}#x`,
          `${header}.${payload}.${mac}?x`,
          `JWT ${token}`,
          `${header}/${payload}/${mac}`,
        ],
      ];
      return Object.fromEntries(parts.map((part, i) => [`form ${i}`, part]));
    },
  },
  {
    name: "what is signed or encrypted, and no compact JWS of claims",
    control: ({ rs }) => ({ compact: rs.token() }),
    hostile: otherObjects,
  },
  {
    name: "too large",
    control: ({ rs }) => ({ "large, and within the limit": rs.token({ padding: "x".repeat(5_000) }) }),
    hostile: ({ rs }) => ({
      "8 KiB and more": rs.token({ padding: "x".repeat(6_000) }),
      "a large header": rs.token({}, { x5t: "x".repeat(8_000) }),
      "a large signature": `${rs.token()}${"A".repeat(8_000)}`,
      "dots alone": ".".repeat(8_000),
      "nothing but letters": "a".repeat(8_193),
    }),
  },
  {
    name: "tokens of other systems",
    control: ({ rs }) => ({ "a JWT": rs.token() }),
    hostile: () =>
      each(
        [
          ...[
            "hvs.CAESIJ0000000000000000000000000000",
            "hvb.AAAAAQ0000000000000000000000000000",
            "s.0000000000",
          ],
          ...["root", "00000000-0000-0000-0000-000000000000", "null", "undefined", "true", "0", "[]", "{}"],
          ...["v4.public.eyJhIjoxfQ", "v2.local.AAAA", "eyJhbGciOiJSUzI1NiJ9", "ghp_0000000000000000000000"],
          ...["oabcdefghijklmno.hvs.CAESIJ0000000000000000000000000000", "..%2f..%2f", "' OR 1=1 --"],
        ],
        (token) => token,
      ),
  },
];

/** Claims whose length leaves bits unused in the last character, with those bits set, and signed so. */
function unusedBits(rs: TokenWorld["rs"]): Record<string, string> {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const tokens: Record<string, string> = {};
  for (const padding of ["", "x", "xx"]) {
    const payload = encode(rs.claims({ padding }));
    if (payload.length % 4 === 0) continue;
    const last = alphabet[alphabet.indexOf(payload.at(-1) ?? "") | 1];
    tokens[`unused bits set in the claims ${padding}`] = signed(
      encode(headerOf(rs)),
      `${payload.slice(0, -1)}${last}`,
      rs.pair,
    );
  }
  return tokens;
}

async function otherObjects({ rs, evil }: TokenWorld) {
  const claims = Buffer.from(JSON.stringify(rs.claims()));
  const publicKey = createPublicKey(rs.pair.publicKey.export({ type: "spki", format: "pem" }));
  const jwe = (header: { alg: string; enc: string } & Record<string, unknown>, key: unknown, text = claims) =>
    new CompactEncrypt(text)
      .setProtectedHeader({ kid: rs.pair.kid, typ: "JWT", ...header })
      .encrypt(key as Uint8Array);
  const flattened = await new FlattenedSign(claims).setProtectedHeader(headerOf(rs)).sign(rs.pair.privateKey);
  const general = await new GeneralSign(claims)
    .addSignature(rs.pair.privateKey)
    .setProtectedHeader(headerOf(rs))
    .sign();
  const [header, , mac] = rs.token().split(".");
  const inner = rs.token();
  return {
    // The claims encrypted to the very key that should have signed them: valid to whoever decrypts first.
    "JWE to the issuer's public key": await jwe({ alg: "RSA-OAEP-256", enc: "A256GCM" }, publicKey),
    "JWE of a token": await jwe(
      { alg: "RSA-OAEP-256", enc: "A256GCM", cty: "JWT" },
      publicKey,
      Buffer.from(inner),
    ),
    "JWE by a key of its own": await jwe({ alg: "dir", enc: "A128GCM" }, new Uint8Array(16)),
    "JWE by a password": await jwe({ alg: "PBES2-HS256+A128KW", enc: "A128GCM" }, new Uint8Array(16)),
    "JWE by a password, for ever": `${encode({ alg: "PBES2-HS256+A128KW", enc: "A128GCM", p2c: 2 ** 31 - 1, p2s: "AAAA", kid: rs.pair.kid })}.AAAA.AAAA.AAAA.AAAA`,
    "JWE, compressed": `${encode({ alg: "dir", enc: "A128GCM", zip: "DEF", kid: rs.pair.kid })}..AAAA.AAAA.AAAA`,
    "JWE on a curve, with a bad point": `${encode({ alg: "ECDH-ES", enc: "A128GCM", epk: { kty: "EC", crv: "P-256", x: "AA", y: "AA" } })}..AAAA.AAAA.AAAA`,
    "a token in a token": compact(headerOf(rs), JSON.stringify(inner), rs.pair),
    "a token in a token, said so": compact(headerOf(rs, { cty: "JWT" }), inner, rs.pair),
    "a token in another's token": compact(headerOf(evil), inner, evil.pair),
    "JSON, flattened": JSON.stringify(flattened),
    "JSON, general": JSON.stringify(general),
    "JSON, unprotected header": JSON.stringify({ ...flattened, protected: undefined, header: headerOf(rs) }),
    // Whoever splits it at its dots finds three parts, and in the middle one claims that nobody signed.
    "JSON that splits like a compact one": JSON.stringify({ ...flattened, x: `.${encode(rs.claims())}.` }),
    detached: `${header}..${mac}`,
  };
}

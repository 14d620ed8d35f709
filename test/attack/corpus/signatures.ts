import { constants, createHash, generateKeyPairSync, sign } from "node:crypto";
import { compact, encode, newPair, publicPem, signature } from "../../harness/tokens.ts";
import { each, headerOf, hmacSigned, type TokenClass, type Tokens, type TokenWorld } from "./token-class.ts";

/** Every way to write `none` in capitals and small letters. */
const NONES = Array.from({ length: 16 }, (_, bits) =>
  [..."none"].map((letter, i) => (bits & (1 << i) ? letter.toUpperCase() : letter)).join(""),
);
const ALGORITHMS = [
  ...[...NONES, "", " none", "none ", "n\u043ene", "none\u0000", null, true, 0, ["none"], ["RS256"]],
  ...[{ RS256: 1 }, undefined, "rs256", "Rs256", "RS256 ", "RS-256", "SHA256withRSA", "__proto__"],
];

/** Order of the P-256 group, and of the base point of Ed25519. */
const P256 = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const ED25519 = 2n ** 252n + 27742317777372353535851937790883648493n;

/** Attacks on how a token is signed, from RFC 8725 sections 2.1 to 2.4 and 3.1 to 3.5. */
export const SIGNATURE_CLASSES: TokenClass[] = [
  {
    name: "algorithm none, in any writing, without a signature and with the issuer's own",
    control: ({ rs }) => ({ RS256: rs.token() }),
    hostile: ({ rs }) => {
      const bare = (alg: unknown) => `${encode(headerOf(rs, { alg }))}.${encode(rs.claims())}.`;
      return {
        ...each(ALGORITHMS, bare, "no signature "),
        ...each(ALGORITHMS, (alg) => rs.token({}, { alg }), "signed "),
        "no kid, no signature": `${encode({ alg: "none" })}.${encode(rs.claims())}.`,
        "good header, no signature": `${rs.token().split(".").slice(0, 2).join(".")}.`,
        "good header, no third part": rs.token().split(".").slice(0, 2).join("."),
      };
    },
  },
  {
    name: "a public key used as the secret of an HMAC",
    control: ({ rs, es, ed }) => ({ RS256: rs.token(), ES256: es.token(), EdDSA: ed.token() }),
    hostile: (world) => {
      const tokens: Tokens = {};
      for (const issuer of [world.rs, world.es, world.ed]) {
        for (const [form, secret] of Object.entries(writings(issuer.pair.publicKey))) {
          for (const alg of ["HS256", "HS384", "HS512"]) {
            tokens[`${alg} ${issuer.pair.alg} ${form}`] = hmacSigned(issuer, alg, secret);
          }
        }
      }
      return tokens;
    },
  },
  {
    name: "an algorithm that the issuer does not use, though its own key signed by it",
    control: ({ rs }) => ({ RS256: rs.token() }),
    hostile: ({ rs, es }) => {
      const by = (alg: string, hash: string, padding: number) => {
        const input = `${encode(headerOf(rs, { alg }))}.${encode(rs.claims())}`;
        const options = { key: rs.pair.privateKey, padding, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
        return `${input}.${sign(hash, Buffer.from(input), options).toString("base64url")}`;
      };
      const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" });
      return {
        RS384: by("RS384", "sha384", constants.RSA_PKCS1_PADDING),
        RS512: by("RS512", "sha512", constants.RSA_PKCS1_PADDING),
        PS256: by("PS256", "sha256", constants.RSA_PKCS1_PSS_PADDING),
        PS384: by("PS384", "sha384", constants.RSA_PKCS1_PSS_PADDING),
        PS512: by("PS512", "sha512", constants.RSA_PKCS1_PSS_PADDING),
        "RS256 said, PS256 done": by("RS256", "sha256", constants.RSA_PKCS1_PSS_PADDING),
        "RS256 said, SHA-1 done": by("RS256", "sha1", constants.RSA_PKCS1_PADDING),
        "RS256 said, SHA-512 done": by("RS256", "sha512", constants.RSA_PKCS1_PADDING),
        RS1: by("RS1", "sha1", constants.RSA_PKCS1_PADDING),
        "ES256 by the RSA issuer": compact(headerOf(rs, { alg: "ES256" }), rs.claims(), newPair("ES256")),
        "EdDSA by the RSA issuer": compact(headerOf(rs, { alg: "EdDSA" }), rs.claims(), newPair("EdDSA")),
        "RS256 by the ES256 issuer": compact(headerOf(es, { alg: "RS256" }), es.claims(), newPair("RS256")),
        "ES256 by another curve": compact(headerOf(es), es.claims(), { ...es.pair, ...p384 }),
        "ES384 by its curve": compact(headerOf(es, { alg: "ES384" }), es.claims(), { ...es.pair, ...p384 }),
        ES256K: es.token({}, { alg: "ES256K" }),
      };
    },
  },
  {
    name: "a signature of special values",
    control: ({ rs, es, ed }) => ({
      ES256: es.token(),
      EdDSA: ed.token(),
      RS256: rs.token(),
      "ES256 with n − s": otherRoot(es.token()),
    }),
    hostile: (world) => ({ ...ecSpecial(world), ...edSpecial(world), ...rsaSpecial(world) }),
  },
  {
    name: "somebody else's key under the issuer's kid",
    control: ({ rs }) => ({ "the issuer's": rs.token() }),
    hostile: ({ rs, es, ed, evil }) => ({
      "another RSA key": compact(headerOf(rs), rs.claims(), evil.pair),
      "another EC key": compact(headerOf(es), es.claims(), newPair("ES256")),
      "another Ed25519 key": compact(headerOf(ed), ed.claims(), newPair("EdDSA")),
      "one of 1024 bits": compact(headerOf(rs), rs.claims(), newPair("RS256", "short", 1024)),
      "another issuer of the directory": compact(headerOf(es, { kid: rs.pair.kid }), rs.claims(), es.pair),
      "another issuer's token in this one's name": es.token({
        iss: rs.issuer.issuer,
        aud: rs.issuer.audience,
      }),
      "the attacker's issuer": evil.token({ iss: rs.issuer.issuer }),
      "the attacker's issuer, its own name": evil.token(),
    }),
  },
];

/** The ways in which a public key may be written down, each a secret to somebody careless. */
function writings(key: ReturnType<typeof newPair>["publicKey"]): Record<string, string | Buffer> {
  const pem = key.export({ type: "spki", format: "pem" }).toString();
  const jwk = key.export({ format: "jwk" });
  const rsa = key.asymmetricKeyType === "rsa";
  return {
    PEM: pem,
    "PEM without its last line break": pem.trimEnd(),
    "PEM with CRLF": pem.replaceAll("\n", "\r\n"),
    DER: key.export({ type: "spki", format: "der" }),
    "DER in base64": key.export({ type: "spki", format: "der" }).toString("base64"),
    JWK: JSON.stringify(jwk),
    ...(rsa && {
      "PEM of PKCS#1": key.export({ type: "pkcs1", format: "pem" }).toString(),
      "DER of PKCS#1": key.export({ type: "pkcs1", format: "der" }),
      modulus: Buffer.from(jwk.n ?? "", "base64url"),
    }),
    ...(!rsa && { point: Buffer.from(`${jwk.x}${jwk.y ?? ""}`, "base64url") }),
    nothing: "",
    thumbprint: createHash("sha256").update(pem).digest(),
  };
}

const integer = (bytes: Buffer): bigint => BigInt(`0x${bytes.toString("hex") || "0"}`);
const number = (value: bigint, length: number): Buffer =>
  Buffer.from(value.toString(16).padStart(length * 2, "0"), "hex");

/** A token with its signature changed. */
function withSignature(token: string, change: (signature: Buffer) => Buffer): string {
  const [header, payload, signature64 = ""] = token.split(".");
  return `${header}.${payload}.${change(Buffer.from(signature64, "base64url")).toString("base64url")}`;
}

/** The same token with ES256's other root for signature, which is as good as the first. */
export const otherRoot = (token: string): string =>
  withSignature(token, (bytes) =>
    Buffer.concat([bytes.subarray(0, 32), number(P256 - integer(bytes.subarray(32)), 32)]),
  );

function ecSpecial({ es }: TokenWorld): Tokens {
  const edge = { 0: 0n, 1: 1n, "n−1": P256 - 1n, n: P256, "n+1": P256 + 1n, "2^256−1": 2n ** 256n - 1n };
  const tokens: Tokens = {};
  for (const [r, rValue] of Object.entries(edge)) {
    for (const [s, sValue] of Object.entries(edge)) {
      const bytes = Buffer.concat([number(rValue, 32), number(sValue, 32)]);
      tokens[`ES256 r=${r} s=${s}`] = withSignature(es.token(), () => bytes);
    }
  }
  const der = (token: string) => {
    const input = token.split(".").slice(0, 2).join(".");
    return `${input}.${sign("sha256", Buffer.from(input), es.pair.privateKey).toString("base64url")}`;
  };
  const change = (make: (bytes: Buffer) => Buffer) => withSignature(es.token(), make);
  return {
    ...tokens,
    "ES256 as DER": der(es.token()),
    "ES256 s, r": change((bytes) => Buffer.concat([bytes.subarray(32), bytes.subarray(0, 32)])),
    "ES256 without its last byte": change((bytes) => bytes.subarray(0, -1)),
    "ES256 and a byte more": change((bytes) => Buffer.concat([bytes, Buffer.alloc(1)])),
    "ES256 and a byte before": change((bytes) => Buffer.concat([Buffer.alloc(1), bytes])),
    "ES256 twice": change((bytes) => Buffer.concat([bytes, bytes])),
    "ES256 wider": change((bytes) =>
      Buffer.concat([Buffer.alloc(16), bytes.subarray(0, 32), Buffer.alloc(16), bytes.subarray(32)]),
    ),
    "ES256 empty DER": change(() => Buffer.from("3006020100020100", "hex")),
  };
}

function edSpecial({ ed }: TokenWorld): Tokens {
  const change = (make: (bytes: Buffer) => Buffer) => withSignature(ed.token(), make);
  /** A point of small order, and the neutral one, as R. */
  const small = Buffer.from("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", "hex");
  const neutral = Buffer.concat([Buffer.from([1]), Buffer.alloc(31)]);
  return {
    "EdDSA of zeros": change((bytes) => Buffer.alloc(bytes.length)),
    "EdDSA S + L": change((bytes) => {
      const s = integer(Buffer.from(bytes.subarray(32)).reverse()) + ED25519;
      return Buffer.concat([bytes.subarray(0, 32), number(s, 32).reverse()]);
    }),
    "EdDSA R of small order": change(() => Buffer.concat([small, Buffer.alloc(32)])),
    "EdDSA R neutral": change(() => Buffer.concat([neutral, Buffer.alloc(32)])),
    "EdDSA without its last byte": change((bytes) => bytes.subarray(0, -1)),
    "EdDSA and a byte more": change((bytes) => Buffer.concat([bytes, Buffer.alloc(1)])),
  };
}

function rsaSpecial({ rs }: TokenWorld): Tokens {
  const n = integer(Buffer.from(rs.pair.publicKey.export({ format: "jwk" }).n ?? "", "base64url"));
  const value = (v: bigint, length = 256) => withSignature(rs.token(), () => number(v, length));
  return {
    "RS256 0": value(0n),
    "RS256 1": value(1n),
    "RS256 n−1": value(n - 1n),
    "RS256 n": value(n),
    "RS256 one byte": value(1n, 1),
    "RS256 signature + n": withSignature(rs.token(), (bytes) => number(integer(bytes) + n, 257)),
    "RS256 and a byte more": withSignature(rs.token(), (bytes) => Buffer.concat([bytes, Buffer.alloc(1)])),
    "RS256 a zero before": withSignature(rs.token(), (bytes) => Buffer.concat([Buffer.alloc(1), bytes])),
    "RS256 without its last byte": withSignature(rs.token(), (bytes) => bytes.subarray(0, -1)),
    "RS256 of the payload alone": (() => {
      const [header, payload = ""] = rs.token().split(".");
      return `${header}.${payload}.${signature(payload, rs.pair)}`;
    })(),
    "RS256 of another header": (() => {
      const [, payload] = rs.token().split(".");
      const other = rs.token({}, { typ: "at+jwt" }).split(".");
      return `${encode(headerOf(rs))}.${payload}.${other[2]}`;
    })(),
    "RS256 the key's own PEM": withSignature(rs.token(), () => Buffer.from(publicPem(rs.pair))),
  };
}

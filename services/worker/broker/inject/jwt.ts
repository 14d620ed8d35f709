import { createPrivateKey, createSecretKey, type KeyObject, randomUUID } from "node:crypto";
import { SignJWT } from "jose";
import type { Injection } from "../../../shared/broker/inject.ts";
import {
  checkInjectable,
  formatted,
  type Prepared,
  searchable,
  type Unprepared,
  unusable,
  withHeaders,
} from "./prepared.ts";

export type JwtPolicy = Extract<Injection, { jwt: unknown }>["jwt"];
type Algorithm = JwtPolicy["algorithm"];

/** Sends a JWT that is made for this request; the value is its key, and is not sent. `now` is milliseconds since 1970. */
export async function injectJwt(
  policy: JwtPolicy,
  value: Uint8Array,
  { path, headers }: Unprepared,
  now: number,
): Promise<Prepared> {
  const { header, format } = policy;
  checkInjectable(header);
  const token = await signedJwt(policy, value, now);
  return {
    path,
    headers: withHeaders(headers, [[header, formatted(format, token)]]),
    secrets: [value, Buffer.from(token, "latin1"), ...pemBody(value)],
  };
}

/** A JWT of these claims with `iat`, `exp` and `jti`, signed by the value. Throws UseFailure `unusable_value`. */
export async function signedJwt(
  {
    algorithm,
    keyId,
    claims,
    lifetimeSeconds,
  }: Pick<JwtPolicy, "algorithm" | "keyId" | "claims" | "lifetimeSeconds">,
  value: Uint8Array,
  now: number,
): Promise<string> {
  const seconds = Math.floor(now / 1000);
  return await new SignJWT({ ...claims, iat: seconds, exp: seconds + lifetimeSeconds, jti: randomUUID() })
    .setProtectedHeader({ alg: algorithm, typ: "JWT", ...(keyId !== undefined && { kid: keyId }) })
    .sign(keyOf(value, algorithm));
}

/** Which keys an algorithm takes. */
const FITS: Record<Exclude<Algorithm, "HS256">, (key: KeyObject) => boolean> = {
  RS256: ({ asymmetricKeyType: type, asymmetricKeyDetails: details }) =>
    type === "rsa" && (details?.modulusLength ?? 0) >= 2048,
  ES256: ({ asymmetricKeyType: type, asymmetricKeyDetails: details }) =>
    type === "ec" && details?.namedCurve === "prime256v1",
  EdDSA: ({ asymmetricKeyType: type }) => type === "ed25519",
};

function keyOf(value: Uint8Array, algorithm: Algorithm): KeyObject {
  if (algorithm === "HS256") return createSecretKey(searchable(value));
  let key: KeyObject;
  try {
    key = createPrivateKey({
      key: Buffer.from(value.buffer, value.byteOffset, value.byteLength),
      format: "pem",
    });
  } catch {
    throw unusable("the credential is no private key as PEM without a passphrase");
  }
  if (FITS[algorithm](key)) return key;
  throw unusable(`the credential is a key that ${algorithm} does not take`);
}

/** The base64 of a PEM text without its line breaks, and each of its lines. */
function pemBody(value: Uint8Array): Uint8Array[] {
  const text = Buffer.from(value).toString("latin1");
  const [, body = ""] = /-----BEGIN [^-]+-----([^-]+)-----END /.exec(text) ?? [];
  const lines = body.split(/\s+/).filter((line) => line !== "");
  return [lines.join(""), ...lines].filter((each) => each !== "").map((each) => Buffer.from(each, "latin1"));
}

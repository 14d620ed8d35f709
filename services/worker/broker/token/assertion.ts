import { createPrivateKey, createSecretKey, type KeyObject, randomUUID } from "node:crypto";
import { SignJWT } from "jose";
import { UseFailure } from "../use-failure.ts";

/** What an assertion says, and how it is signed. */
export interface Assertion {
  algorithm: "RS256" | "ES256" | "EdDSA" | "HS256";
  keyId?: string | undefined;
  issuer: string;
  subject?: string | undefined;
  audience?: string | undefined;
  lifetimeSeconds: number;
  /** Milliseconds since 1970. */
  now: number;
}

/** A provider's clock may be behind by so much. */
const BACKDATED_SECONDS = 30;

/**
 * A JWT signed by a credential's value: a private key as PEM (PKCS #8, PKCS #1 or SEC 1), for HS256 the secret itself.
 * Throws UseFailure `unusable_value`.
 */
export async function signAssertion(value: Uint8Array, assertion: Assertion): Promise<string> {
  const { algorithm, keyId, issuer, subject, audience, lifetimeSeconds, now } = assertion;
  const at = Math.floor(now / 1000);
  try {
    return await new SignJWT({
      ...{ iss: issuer, iat: at - BACKDATED_SECONDS, exp: at + lifetimeSeconds, jti: randomUUID() },
      ...(subject !== undefined && { sub: subject }),
      ...(audience !== undefined && { aud: audience }),
    })
      .setProtectedHeader({ alg: algorithm, typ: "JWT", ...(keyId !== undefined && { kid: keyId }) })
      .sign(keyOf(value, algorithm));
  } catch {
    // The reason may repeat a part of the value.
    throw new UseFailure(
      "unusable_value",
      `the credential's value is not a private key (PEM) for ${algorithm}`,
    );
  }
}

function keyOf(value: Uint8Array, algorithm: Assertion["algorithm"]): KeyObject {
  if (algorithm === "HS256") return createSecretKey(value);
  const pem = Buffer.from(value);
  try {
    return createPrivateKey(pem);
  } finally {
    pem.fill(0);
  }
}

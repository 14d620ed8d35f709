import { createPublicKey } from "node:crypto";
import { compactVerify } from "jose";
import { TokenRefused } from "../../shared/front/identity/refused.ts";

const ALGORITHMS = ["RS256", "ES256", "EdDSA"];

/**
 * The claims of a token, whose signature is verified with the key (PEM). Not by @fastify/jwt: Fastify compiles its routes
 * from strings, which Node refuses to a worker. Throws TokenRefused.
 */
export async function checkSignature(token: string, key: string): Promise<Record<string, unknown>> {
  try {
    const { payload } = await compactVerify(token, createPublicKey(key), { algorithms: ALGORITHMS });
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
  } catch (error) {
    throw new TokenRefused("signature", error);
  }
}

import { exportJWK, generateKeyPair } from "jose";
import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { ConfigError } from "../shared/config.ts";
import { readJson, writeJson } from "../shared/files.ts";

/** An RSA private key as a JWK with the `kid` and `alg` of its tokens. */
export const SigningKey = Type.Object({
  kty: Type.Literal("RSA"),
  kid: Type.String({ minLength: 1 }),
  alg: Type.Literal("RS256"),
  n: Type.String(),
  e: Type.String(),
  d: Type.String(),
  p: Type.String(),
  q: Type.String(),
  dp: Type.String(),
  dq: Type.String(),
  qi: Type.String(),
});
export type SigningKey = Static<typeof SigningKey>;

/** The key in the file; created there (mode 0600) if there is none yet, so that it stays the same across starts. */
export async function loadSigningKey(path: string): Promise<SigningKey> {
  const kept = await readJson(path).catch(() => null);
  if (kept === undefined) {
    const { privateKey } = await generateKeyPair("RS256", { modulusLength: 2048, extractable: true });
    const { n } = await exportJWK(privateKey);
    const key = { ...(await exportJWK(privateKey)), kid: `local-${n?.slice(0, 12)}`, alg: "RS256" };
    await writeJson(path, key, 0o600);
    return Value.Parse(SigningKey, key);
  }
  if (!Value.Check(SigningKey, kept)) {
    throw new ConfigError(
      `STRONGROOM_SIGNING_KEY_FILE: ${path} does not contain an RSA private key as a JWK`,
    );
  }
  return kept;
}

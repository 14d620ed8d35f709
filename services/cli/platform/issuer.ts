import { type CryptoKey, exportSPKI, importJWK, type JWK } from "jose";
import { GROUPS_CLAIM, LOCAL_ISSUER, ORG_CLAIM, TENANT_AUDIENCE } from "../../shared/local-provider.ts";
import type { Issuer } from "../../shared/org.ts";

/** The local identity provider as organizations know it. */
export const localIssuer = (identityProvider: string): Issuer => ({
  issuer: LOCAL_ISSUER,
  audience: TENANT_AUDIENCE,
  jwksUri: `${identityProvider}/jwks`,
  algorithms: ["RS256"],
  orgClaim: ORG_CLAIM,
  groupsClaim: GROUPS_CLAIM,
});

/** Its public keys, PEM. */
export async function localIssuerKeys({ jwksUri }: Issuer): Promise<string[]> {
  const response = await fetch(jwksUri, { signal: AbortSignal.timeout(5_000) });
  const { keys } = (await response.json()) as { keys: JWK[] };
  return await Promise.all(keys.map(async (key) => exportSPKI((await importJWK(key, "RS256")) as CryptoKey)));
}

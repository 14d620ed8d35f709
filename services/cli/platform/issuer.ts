import { GROUPS_CLAIM, LOCAL_ISSUER, ORG_CLAIM, TENANT_AUDIENCE } from "../../shared/local-provider.ts";
import type { Issuer } from "../../shared/org.ts";

/** The local identity provider as an issuer of organizations' tokens. */
export const localIssuer = (identityProvider: string): Issuer => ({
  issuer: LOCAL_ISSUER,
  audience: TENANT_AUDIENCE,
  jwksUri: `${identityProvider}/jwks`,
  algorithms: ["RS256"],
  orgClaim: ORG_CLAIM,
  groupsClaim: GROUPS_CLAIM,
});

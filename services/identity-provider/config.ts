import { type Static, Type } from "typebox";
import { SecretFile } from "../shared/config.ts";
import { LISTEN_SETTINGS } from "../shared/http/serve.ts";
import { GROUPS_CLAIM, LOCAL_ISSUER, ORG_CLAIM } from "../shared/local-provider.ts";

export const Config = Type.Object({
  ...LISTEN_SETTINGS,
  STRONGROOM_SIGNING_KEY_FILE: SecretFile("RSA signing key, as a JWK; created if there is none"),
  STRONGROOM_ISSUER: Type.String({ default: LOCAL_ISSUER, description: "`iss` of the tokens" }),
  STRONGROOM_ORG_CLAIM: Type.String({ default: ORG_CLAIM, description: "Claim for the organization" }),
  STRONGROOM_GROUPS_CLAIM: Type.String({ default: GROUPS_CLAIM, description: "Claim for the groups" }),
  STRONGROOM_KEYS_HOST: Type.Optional(
    Type.String({
      pattern: "^[a-z0-9.-]{1,253}$",
      description: "Name of this machine by which others may ask for the public keys, and for nothing else",
    }),
  ),
});
export type Config = Static<typeof Config>;

/**
 * The identity provider of a local platform: signs a token, in Auth0's form, for any caller on this machine, so that
 * one can try every role. It is for trying out and for tests, and in no production image.
 *
 * It holds one signing key, made at its first start, which opens every organization of its own platform. It never
 * answers a web page, nor a request that names another host.
 *
 * Begin reading at `app.ts`; `signing-key.ts` makes the key and keeps it.
 */
import { readConfig } from "../shared/config.ts";
import { run, serve } from "../shared/http/serve.ts";
import { createLogger } from "../shared/log.ts";
import { buildIdentityProvider } from "./app.ts";
import { Config } from "./config.ts";
import { loadSigningKey } from "./signing-key.ts";

await run(async () => {
  const config = readConfig(process.env, Config);
  const app = await buildIdentityProvider({
    logger: createLogger("identity-provider", config.STRONGROOM_LOG_LEVEL),
    key: await loadSigningKey(config.STRONGROOM_SIGNING_KEY_FILE),
    issuer: config.STRONGROOM_ISSUER,
    orgClaim: config.STRONGROOM_ORG_CLAIM,
    groupsClaim: config.STRONGROOM_GROUPS_CLAIM,
    keysHost: config.STRONGROOM_KEYS_HOST,
  });
  await serve(app, config);
});

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
  });
  await serve(app, config);
});

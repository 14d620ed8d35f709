/**
 * A service as organizations have keys for, on this machine: what a stored credential is used at in the demo and in
 * tests. It accepts any key that is not revoked, says by a fingerprint whose it is, and makes and revokes others. It is in no
 * production image.
 *
 * Begin reading at `app.ts`.
 */
import { readConfig, readSecretFile } from "../shared/config.ts";
import { run, serve } from "../shared/http/serve.ts";
import { createLogger } from "../shared/log.ts";
import { buildDemoProvider } from "./app.ts";
import { Config, readCertificate } from "./config.ts";

await run(async () => {
  const config = readConfig(process.env, Config);
  const app = buildDemoProvider(createLogger("demo-provider", config.STRONGROOM_LOG_LEVEL), {
    cert: readCertificate(config.STRONGROOM_TLS_CERTIFICATE_FILE),
    key: readSecretFile(config.STRONGROOM_TLS_KEY_FILE, "STRONGROOM_TLS_KEY_FILE"),
  });
  await serve(app, config);
});

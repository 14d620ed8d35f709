import { readConfig } from "../shared/config.ts";
import { run, serve } from "../shared/http/serve.ts";
import { Config } from "./config.ts";
import { startControlPlane } from "./start.ts";

await run(async () => {
  const config = readConfig(process.env, Config);
  await serve(await startControlPlane(config), config);
});

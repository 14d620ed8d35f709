import { join } from "node:path";
import { cacheFolder } from "./vault-binary/cache.ts";

/** Node's compile cache, which cuts the start time of programs by more than a third. */
export const compileCache = (env: Record<string, string | undefined>): string =>
  join(cacheFolder(env), "compiled");

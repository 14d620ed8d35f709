import { join } from "node:path";
import { cacheFolder } from "./vault-binary/cache.ts";

/** Where Node keeps compiled modules, so that programs start in less than two thirds of the time. */
export const compileCache = (env: Record<string, string | undefined>): string =>
  join(cacheFolder(env), "compiled");

import { enableCompileCache } from "node:module";
import { compileCache } from "./compile-cache.ts";

enableCompileCache(compileCache(process.env));
const { runStrongroom } = await import("./program.ts");
process.exitCode = await runStrongroom(process.argv.slice(2), process.env, process.stdout, process.stderr);

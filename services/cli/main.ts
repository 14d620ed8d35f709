import { runStrongroom } from "./program.ts";

process.exitCode = await runStrongroom(process.argv.slice(2), process.env, process.stdout, process.stderr);

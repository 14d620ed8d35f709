/**
 * The command `strongroom`: a client of the control plane for operators, and `strongroom up`, which runs the whole
 * platform on one machine.
 *
 * It holds an operator's token while a command runs and, for a platform of this machine, its state folder: the
 * operator's key, the recovery key and the internal Vault's unseal key. It never takes a secret from its command
 * line; what it writes to stdout is data, and all else goes to stderr.
 *
 * Begin reading at `command-table.ts`: all commands. Each is in a file of `commands/`, which is loaded when it runs.
 * `platform/platform.ts` is what `up` starts and stops, `vault-binary/find.ts` how a machine comes by a Vault;
 * `control-plane-client.ts` and `intake-client.ts` are clients of the two APIs.
 */
import { enableCompileCache } from "node:module";
import { compileCache } from "./compile-cache.ts";

enableCompileCache(compileCache(process.env));
const { runStrongroom } = await import("./program.ts");
process.exitCode = await runStrongroom(process.argv.slice(2), process.env, process.stdout, process.stderr);

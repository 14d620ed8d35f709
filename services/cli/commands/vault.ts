import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import type { CliCommand } from "../command.ts";
import { Failure } from "../failure.ts";
import { group } from "../options.ts";
import type { Session } from "../session.ts";
import { orgToken } from "./token.ts";

export const vaultCommand: CliCommand = {
  declare(line) {
    line
      .usage("--org <org> [--group writer|admin] -- <vault arguments>")
      .argument("<args...>", "arguments of the vault program, like: kv get secret/app/db")
      .requiredOption("--org <org>", "name or id")
      .addOption(group());
  },
  run: vault,
};

/** The variables that the program inherits: none of them points to another Vault. */
const KEPT = ["PATH", "HOME", "TERM", "LANG", "LC_ALL", "TZ", "NO_COLOR"];

/** `strongroom vault --org <org> -- <args>`: the platform's own Vault program as a client of the gateway. */
async function vault(
  session: Session,
  args: string[],
  options: { org: string; group?: string },
): Promise<number> {
  const { gateway, vaultBinary } = await session.local("vault");
  const token = await orgToken(session, options);
  const { system } = session.environment;
  const kept = Object.fromEntries(KEPT.flatMap((name) => (system[name] ? [[name, system[name]]] : [])));
  const child = spawn(vaultBinary, args, {
    env: { ...kept, VAULT_ADDR: gateway, VAULT_TOKEN: token.reveal() },
    stdio: "inherit",
  });
  // The program handles Ctrl-C itself: the terminal sends it to both processes.
  const ignore = () => {};
  process.on("SIGINT", ignore);
  try {
    const [code, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
    return code ?? 128 + (signal ? constants.signals[signal] : 0);
  } catch {
    throw new Failure("unavailable", `${vaultBinary} cannot be run`, "Run: strongroom doctor");
  } finally {
    process.off("SIGINT", ignore);
  }
}

import type { Command } from "commander";
import type { Session } from "./session.ts";

/** A command: what its line may hold, and what it does. */
export interface CliCommand {
  /** Adds its arguments and options. */
  declare(line: Command): void;
  /** Does it, by arguments and options as parsed. Returns an exit status if that is not 0. Throws a Failure. */
  run(session: Session, args: string[], options: never): Promise<number | undefined>;
}

/** Commands by name, or groups of them, each with its line in the help. A command's own code is loaded when it is run. */
export type CommandTable = Record<
  string,
  [description: string, load: (() => Promise<CliCommand>) | CommandTable]
>;

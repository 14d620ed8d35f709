import type { Command } from "commander";
import type { Session } from "./session.ts";

/** A command: its arguments and options, and its action. */
export interface CliCommand {
  /** Adds its arguments and options. */
  declare(line: Command): void;
  /** Runs it with the parsed arguments and options. Returns an exit status other than 0. Throws a Failure. */
  run(session: Session, args: string[], options: never): Promise<number | undefined>;
}

/**
 * Commands or groups of them by name, each with its line in the help; a command may have others below it. A command's code
 * is loaded when it runs.
 */
export type CommandTable = Record<
  string,
  [description: string, load: (() => Promise<CliCommand>) | CommandTable, below?: CommandTable]
>;

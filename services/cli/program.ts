import { Command, CommanderError } from "commander";
import type { CliCommand, CommandTable } from "./command.ts";
import { COMMANDS } from "./command-table.ts";
import { asFailure, EXIT_STATUS } from "./failure.ts";
import { Output } from "./output.ts";
import { Session, VERSION } from "./session.ts";
import { readEnvironment } from "./settings.ts";

/** Runs one command line and returns its exit status. Errors go to stderr, with what to do next. */
export async function runStrongroom(
  argv: string[],
  env: Record<string, string | undefined>,
  stdout: NodeJS.WritableStream,
  stderr: NodeJS.WritableStream,
): Promise<number> {
  const out = new Output(stdout, stderr);
  let status: number = EXIT_STATUS.ok.status;

  const run: Run = async (command, line) => {
    const options = line.optsWithGlobals();
    out.json = options.json === true;
    const session = new Session(out, readEnvironment(env), options.state);
    status = (await command.run(session, line.args, options as never)) ?? status;
  };

  try {
    // `help up` becomes `up --help`: commander loads the command's code, which declares its options, only for that.
    const line = argv[0] === "help" ? [...argv.slice(1), "--help"] : argv;
    await program(run, out).parseAsync(line, { from: "user" });
    return status;
  } catch (error) {
    if (error instanceof CommanderError) return commandLineStatus(error);
    const failure = asFailure(error);
    out.failure(failure);
    return EXIT_STATUS[failure.exit].status;
  }
}

function commandLineStatus(error: CommanderError): number {
  return error.exitCode === 0 ? EXIT_STATUS.ok.status : EXIT_STATUS.usage.status;
}

function program(run: Run, out: Output): Command {
  const strongroom = new Command("strongroom")
    .description("Runs a Vault for every organization, behind one gateway.")
    .version(VERSION)
    .option("--state <dir>", "the platform's state folder (STRONGROOM_STATE; default .strongroom)")
    .option("--json", "print the result as JSON on stdout")
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .configureOutput({
      writeOut: (text) => void out.stdout.write(text),
      writeErr: (text) => void out.stderr.write(text),
    })
    .exitOverride()
    .showHelpAfterError("Usage and examples: strongroom --help")
    .addHelpText("after", HELP);

  addCommands(strongroom, COMMANDS, run);
  return strongroom;
}

/** Runs a command with its parsed line. */
type Run = (command: CliCommand, line: Command) => Promise<void>;

/** Adds commands to their parent: names and descriptions now, the rest only for the command on the line. */
function addCommands(parent: Command, table: CommandTable, run: Run): void {
  for (const [name, [description, entry, below]] of Object.entries(table)) {
    const line = parent.command(name).description(description);
    const group = typeof entry === "function" ? below : entry;
    if (group) addCommands(line, group, run);
  }
  parent.hook("preSubcommand", async (_parent, line) => {
    const [, entry] = table[line.name()] ?? [];
    if (typeof entry !== "function") return;
    const command = await entry();
    command.declare(line);
    line.action(() => run(command, line));
  });
}

const HELP = `
Data goes to stdout, everything else to stderr.

Exit status:
${Object.values(EXIT_STATUS)
  .map(({ status, meaning }) => `  ${String(status).padStart(3)}  ${meaning}`)
  .join("\n")}
  \`strongroom vault\` exits with the vault program's status.

Environment:
  STRONGROOM_STATE       the platform's state folder, unless --state is given
  STRONGROOM_URL         the control plane of a platform on another machine
  STRONGROOM_INTAKE      the intake of credentials of a platform on another machine
  STRONGROOM_TOKEN_FILE  path of a file with a token: an operator's for STRONGROOM_URL, a member's for STRONGROOM_INTAKE
  VAULT_BIN              the vault program to run

Examples:
  strongroom up --demo
  strongroom org create initech --claim org_initech --wait
  strongroom vault --org initech --group writer -- kv put secret/app/db password=s3cret
  strongroom credential put stripe --org initech --group admin --origin https://api.stripe.com --path '/v1/**' < key
  strongroom job run stripe GET /v1/balance --org initech --group writer --wait
`;

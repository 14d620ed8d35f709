import { Command, CommanderError } from "commander";
import type { CliCommand, CommandTable } from "./command.ts";
import { asFailure, EXIT_STATUS } from "./failure.ts";
import { Output } from "./output.ts";
import { Session, VERSION } from "./session.ts";
import { readEnvironment } from "./settings.ts";

/** Runs one command line and gives its exit status. Errors are told on stderr, with what to do next. */
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
    // `help up` is `up --help`: only then is the command's own code loaded, which has its options.
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
    .description("One Vault per organization, run for you.")
    .version(VERSION)
    .option("--state <dir>", "the platform's state folder (STRONGROOM_STATE; default .strongroom)")
    .option("--json", "the result as JSON on stdout")
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

/** Runs a command as its line was parsed. */
type Run = (command: CliCommand, line: Command) => Promise<void>;

/** Adds commands to their parent: name and description at once, all else when one of them is on the line. */
function addCommands(parent: Command, table: CommandTable, run: Run): void {
  for (const [name, [description, entry]] of Object.entries(table)) {
    const line = parent.command(name).description(description);
    if (typeof entry !== "function") addCommands(line, entry, run);
  }
  parent.hook("preSubcommand", async (_parent, line) => {
    const [, entry] = table[line.name()] ?? [];
    if (typeof entry !== "function") return;
    const command = await entry();
    command.declare(line);
    line.action(() => run(command, line));
  });
}

const COMMANDS: CommandTable = {
  up: [
    "run the whole platform on this machine until Ctrl-C",
    async () => (await import("./commands/up.ts")).upCommand,
  ],
  bootstrap: [
    "bring an internal Vault that runs elsewhere, as in containers, into its form",
    async () => (await import("./commands/bootstrap.ts")).bootstrapCommand,
  ],
  "bootstrap-aws": [
    "bring the internal Vault on AWS into its form; docs/aws.md says when",
    async () => (await import("./commands/bootstrap-aws.ts")).bootstrapAwsCommand,
  ],
  status: [
    "what runs, and how every organization is",
    async () => (await import("./commands/status.ts")).statusCommand,
  ],
  logs: [
    "the log of an organization's Vault, or of one of the platform's services",
    async () => (await import("./commands/logs.ts")).logsCommand,
  ],
  org: [
    "organizations",
    {
      create: [
        "onboard an organization: a Vault of its own",
        async () => (await import("./commands/org.ts")).createCommand,
      ],
      list: ["all organizations", async () => (await import("./commands/org.ts")).listCommand],
      show: [
        "everything known of an organization",
        async () => (await import("./commands/org.ts")).showCommand,
      ],
      delete: [
        "stop an organization's Vault for good; its storage and its seal key stay until a purge",
        async () => (await import("./commands/org.ts")).deleteCommand,
      ],
      repair: [
        "write an organization's policies, logins and audit devices anew, as the operator of this machine",
        async () => (await import("./commands/repair.ts")).repairCommand,
      ],
      reassign: [
        "give an organization to another claim, or take up its issuer's settings and keys as they are now",
        async () => (await import("./commands/reassign.ts")).reassignCommand,
      ],
      revoke: [
        "end tokens of an organization before their time; in force within seconds",
        async () => (await import("./commands/revoke.ts")).revokeCommand,
      ],
      "machine-tokens": [
        "Vault tokens for machines that have no JWT, which an organization's admins make",
        async () => (await import("./commands/machine-tokens.ts")).machineTokensCommand,
      ],
    },
  ],
  issuer: [
    "the issuer of organizations' tokens",
    {
      rotate: [
        "have organizations' Vaults take the keys that their issuer shows now, beside those they have",
        async () => (await import("./commands/rotate.ts")).rotateCommand,
      ],
    },
  ],
  audit: [
    "what was done, and by whom",
    {
      verify: [
        "check that the control plane's trail is unbroken, and print where it ends",
        async () => (await import("./commands/audit-verify.ts")).verifyCommand,
      ],
      trace: [
        "one request, as the gateway and the organization's Vault recorded it",
        async () => (await import("./commands/audit-trace.ts")).traceCommand,
      ],
    },
  ],
  job: ["watch a job until its end", async () => (await import("./commands/job.ts")).jobCommand],
  token: [
    "a token of the local identity provider, on stdout",
    async () => (await import("./commands/token.ts")).tokenCommand,
  ],
  env: [
    'VAULT_ADDR and VAULT_TOKEN for a shell: eval "$(strongroom env --org acme)"',
    async () => (await import("./commands/env.ts")).envCommand,
  ],
  vault: [
    "the vault program at the gateway, with a token of the organization",
    async () => (await import("./commands/vault.ts")).vaultCommand,
  ],
  doctor: [
    "check this machine and the platform on it",
    async () => (await import("./commands/doctor.ts")).doctorCommand,
  ],
};

const HELP = `
Data goes to stdout, everything else to stderr.

Exit status:
${Object.values(EXIT_STATUS)
  .map(({ status, meaning }) => `  ${String(status).padStart(3)}  ${meaning}`)
  .join("\n")}
  \`strongroom vault\` passes on the vault program's own.

Environment:
  STRONGROOM_STATE       the platform's state folder, where --state does not name it
  STRONGROOM_URL         the control plane of a platform elsewhere
  STRONGROOM_TOKEN_FILE  an operator's token for it (path of a file)
  VAULT_BIN              the vault program to run

Examples:
  strongroom up --demo
  strongroom org create initech --claim org_initech --wait
  strongroom vault --org initech --group writer -- kv put secret/app/db password=s3cret
`;

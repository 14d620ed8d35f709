import { Argument, Command, CommanderError } from "commander";
import { asFailure, EXIT_STATUS } from "./failure.ts";
import { count, group, period, port } from "./options.ts";
import { Output } from "./output.ts";
import { Session, VERSION } from "./session.ts";
import { readEnvironment } from "./settings.ts";

/** What a command does: its arguments and options as parsed. Gives an exit status where that is not 0. */
type Action<Options> = (session: Session, args: string[], options: Options) => Promise<number | undefined>;
/** Makes commander's callback of an action, whose code is loaded only when it is called. */
type Run = <Options>(load: () => Promise<Action<Options>>) => (...given: unknown[]) => Promise<void>;

/** Runs one command line and gives its exit status. Errors are told on stderr, with what to do next. */
export async function runStrongroom(
  argv: string[],
  env: Record<string, string | undefined>,
  stdout: NodeJS.WritableStream,
  stderr: NodeJS.WritableStream,
): Promise<number> {
  const out = new Output(stdout, stderr);
  let status: number = EXIT_STATUS.ok.status;

  const run: Run =
    (load) =>
    async (...given) => {
      const command = given.at(-1) as Command;
      const options = command.optsWithGlobals();
      out.json = options.json === true;
      const session = new Session(out, readEnvironment(env), options.state);
      status = (await (await load())(session, command.args, options as never)) ?? status;
    };

  try {
    await program(run, out).parseAsync(argv, { from: "user" });
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

  strongroom
    .command("up")
    .description("run the whole platform on this machine until Ctrl-C")
    .option("--demo", "on an empty state folder, onboard two organizations before your eyes")
    .addOption(port("--gateway-port <port>", "where the gateway listens; 0: any free port", 8200))
    .addOption(port("--control-plane-port <port>", "where the control plane listens; 0: any free port", 8280))
    .addOption(
      period(
        "--unseal-token-period <duration>",
        "how long an unseal token lives that nobody renews; settled when the state folder is new, ignored later (default: 768h)",
      ),
    )
    .action(run(async () => (await import("./commands/up.ts")).up));

  strongroom
    .command("bootstrap")
    .description("bring an internal Vault that runs elsewhere, as in containers, into its form")
    .requiredOption("--internal-vault <url>", "its address; its root token lies in the state folder")
    .requiredOption("--identity-provider <url>", "where the local identity provider is, for all the others")
    .requiredOption("--gateway <url>", "where the gateway will be")
    .requiredOption("--control-plane <url>", "where the control plane will be")
    .requiredOption("--vault-bin <path>", "the Vault program, for the command `vault`")
    .action(run(async () => (await import("./commands/bootstrap.ts")).bootstrapPlatform));

  strongroom
    .command("bootstrap-aws")
    .description("bring the internal Vault on AWS into its form; docs/aws.md says when")
    .requiredOption("--internal-vault <url>", "its address; its root token lies in the state folder")
    .requiredOption("--prefix <path>", "what the names of all parameters begin with")
    .requiredOption("--parameter-key <id>", "the KMS key of the platform's own parameters")
    .action(run(async () => (await import("./commands/bootstrap-aws.ts")).bootstrapAws));

  strongroom
    .command("status")
    .description("what runs, and how every organization is")
    .action(run(async () => (await import("./commands/status.ts")).status));

  strongroom
    .command("logs")
    .description("the log of an organization's Vault, or of one of the platform's services")
    .argument("[org]", "name or id")
    .option("--service <name>", "identity-provider, control-plane, agent, gateway or internal-vault")
    .option("-f, --follow", "go on with what is written from now on")
    .addOption(count("--lines <n>", "how many of the last lines", 50))
    .action(run(async () => (await import("./commands/logs.ts")).logs));

  const org = strongroom.command("org").description("organizations");
  org
    .command("create")
    .description("onboard an organization: a Vault of its own")
    .argument("<name>", "3 to 40 lower-case letters, digits and hyphens")
    .requiredOption("--claim <id>", "the identity provider's id of the organization, as its tokens carry it")
    .option("--issuer <url>", "the issuer of its tokens; the platform's first by default")
    .option(
      "--recovery-pgp-key <file...>",
      "PGP public keys (at least 3) that its recovery keys are encrypted to; the platform's own by default",
    )
    .option("--wait", "show each step, until it is ready")
    .action(run(async () => (await import("./commands/org.ts")).createOrg));
  org
    .command("list")
    .description("all organizations")
    .option("--deleted", "deleted and failed ones too")
    .action(run(async () => (await import("./commands/org.ts")).listOrgs));
  org
    .command("show")
    .description("everything known of an organization")
    .argument("<org>", "name or id")
    .action(run(async () => (await import("./commands/org.ts")).showOrg));
  org
    .command("delete")
    .description("stop an organization's Vault for good; its storage and its seal key stay until a purge")
    .argument("<org>", "name or id")
    .option("--yes", "do not ask")
    .option("--wait", "show each step, until it is done")
    .action(run(async () => (await import("./commands/org.ts")).deleteOrg));

  org
    .command("repair")
    .description(
      "write an organization's policies, logins and audit devices anew, as the operator of this machine",
    )
    .argument("<org>", "name or id")
    .action(run(async () => (await import("./commands/repair.ts")).repairOrg));

  org
    .command("reassign")
    .description(
      "give an organization to another claim, or take up its issuer's settings and keys as they are now",
    )
    .argument("<org>", "name or id")
    .option("--claim <claim>", "the identity provider's id of its new owner; the one it has by default")
    .option("--confirm <claim>", "the new claim once more, in place of typing it")
    .action(run(async () => (await import("./commands/reassign.ts")).reassignOrg));

  org
    .command("revoke")
    .description("end tokens of an organization before their time; in force within seconds")
    .argument("<org>", "name or id")
    .option("--subject <sub>", "all tokens of this subject that were issued until now")
    .option("--token-id <jti>", "the token with this id")
    .option("--token-file <path>", "the token in this file; no more than a digest of it is sent")
    .action(run(async () => (await import("./commands/revoke.ts")).revokeTokens));

  org
    .command("machine-tokens")
    .description("Vault tokens for machines that have no JWT, which an organization's admins make")
    .argument("<org>", "name or id")
    .addArgument(
      new Argument("<what>", "switch them on or off; list those there are; end one").choices([
        "on",
        "off",
        "list",
        "revoke",
      ]),
    )
    .argument("[accessor]", "of the one to end")
    .option("--made-by <sub>", "with revoke: all that this subject made")
    .action(run(async () => (await import("./commands/machine-tokens.ts")).manageMachineTokens));

  strongroom
    .command("issuer")
    .description("the issuer of organizations' tokens")
    .command("rotate")
    .description(
      "have organizations' Vaults take the keys that their issuer shows now, beside those they have",
    )
    .option("--org <org...>", "names or ids; all of the issuer's organizations by default")
    .option("--finish", "take only those, once no token by an older key is left")
    .action(run(async () => (await import("./commands/rotate.ts")).rotateIssuer));

  const audit = strongroom.command("audit").description("what was done, and by whom");
  audit
    .command("verify")
    .description("check that the control plane's trail is unbroken, and print where it ends")
    .option("--head <head>", "what an earlier verification printed: the trail must still hold it")
    .option(
      "--log-group <name>",
      "on AWS: the log group of the internal Vault's audit log, which the trail must agree with",
    )
    .action(run(async () => (await import("./commands/audit-verify.ts")).verifyTrail));
  audit
    .command("trace")
    .description("one request, as the gateway and the organization's Vault recorded it")
    .argument("<id>", "its X-Request-Id")
    .action(run(async () => (await import("./commands/audit-trace.ts")).traceRequest));

  strongroom
    .command("job")
    .description("watch a job until its end")
    .argument("<job>", "its id")
    .action(run(async () => (await import("./commands/job.ts")).job));

  strongroom
    .command("token")
    .description("a token of the local identity provider, on stdout")
    .option("--org <org>", "for the secrets of this organization (name or id)")
    .option("--operator", "for the control plane, with all its permissions")
    .addOption(group())
    .option("--sub <subject>", "who it is for")
    .action(run(async () => (await import("./commands/token.ts")).token));

  strongroom
    .command("env")
    .description('VAULT_ADDR and VAULT_TOKEN for a shell: eval "$(strongroom env --org acme)"')
    .requiredOption("--org <org>", "name or id")
    .addOption(group())
    .action(run(async () => (await import("./commands/env.ts")).env));

  strongroom
    .command("vault")
    .description("the vault program at the gateway, with a token of the organization")
    .usage("--org <org> [--group writer|admin] -- <vault arguments>")
    .argument("<args...>", "of the vault program, like: kv get secret/app/db")
    .requiredOption("--org <org>", "name or id")
    .addOption(group())
    .action(run(async () => (await import("./commands/vault.ts")).vault));

  strongroom
    .command("doctor")
    .description("check this machine and the platform on it")
    .action(run(async () => (await import("./commands/doctor.ts")).doctor));

  return strongroom;
}

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

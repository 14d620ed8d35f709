import { Option } from "commander";
import type { Credential, PutCredential } from "../../shared/api/credentials.ts";
import { LEVELS, type Level } from "../../shared/org.ts";
import type { CliCommand } from "../command.ts";
import { type DestinationOptions, declareDestination, type PutOf, putOf } from "../destination-options.ts";
import { Failure } from "../failure.ts";
import type { Intake } from "../intake-client.ts";
import { declareMember, intakeAs, type MemberOptions } from "../member.ts";
import { table } from "../output.ts";
import { readSecret, refuseArgument } from "../read-secret.ts";
import { sealForPut } from "../seal-value.ts";
import type { Session } from "../session.ts";

type PutOptions = MemberOptions & DestinationOptions & { level?: Level; sealed?: boolean; reason?: string };

const putOptions: CliCommand["declare"] = (line) => {
  // More than the name is taken only to be refused with what to do instead.
  line
    .usage("<name> --origin <url> (--path <pattern> | --rules <file>) [options] < FILE")
    .argument("<name>")
    .argument("[value...]");
  declareMember(declareDestination(line)).addOption(
    new Option(
      "--level <level>",
      "who may use it: members of this level and above (default: writer)",
    ).choices(LEVELS),
  );
  line.option(
    "--reason <text>",
    "why a key is stored though its provider delegates access; it stands in the receipts",
  );
};

export const putCommand: CliCommand = {
  declare(line) {
    putOptions(line);
    line
      .option("--sealed", "seal the value here, to the organization's public key, before it is sent")
      .addHelpText(
        "after",
        `
The value comes from stdin, or from a prompt on a terminal; never from an argument. Storing again makes a new version.

Example:
  strongroom credential put stripe --org acme --group admin --origin https://api.stripe.com --path '/v1/**' \\
    --method GET,POST --level writer < stripe.key

With --rules or --policy it is for the broker, which sends requests at once: strongroom credential call.
  strongroom credential put stripe --org acme --group admin --origin https://api.stripe.com --rules rules.json < stripe.key`,
      );
  },
  run: put,
};

export const sealCommand: CliCommand = {
  declare(line) {
    putOptions(line);
    line.addHelpText(
      "after",
      `
Prints the body for PUT /v1/credentials/<name> with the value sealed, and stores nothing. The value comes from stdin,
or from a prompt on a terminal.`,
    );
  },
  run: seal,
};

export const listCommand: CliCommand = { declare: (line) => void declareMember(line), run: list };

const named: CliCommand["declare"] = (line) => void declareMember(line.argument("<name>"));
export const showCommand: CliCommand = { declare: named, run: show };
export const disableCommand: CliCommand = { declare: named, run: disable };
export const enableCommand: CliCommand = { declare: named, run: enable };
export const deleteCommand: CliCommand = {
  declare(line) {
    named(line);
    line.option("--yes", "do not ask for confirmation");
  },
  run: remove,
};

/** `strongroom credential put <name>`: prints the version that was stored. */
async function put(
  session: Session,
  [name = "", ...values]: string[],
  options: PutOptions,
): Promise<undefined> {
  const { out } = session;
  refuseArgument(values, `strongroom credential put ${name} …`);
  const intake = await intakeAs(session, options);
  const stored = await intake.putCredential(name, await bodyOf(session, intake, name, options));
  out.note(
    `${name} is stored as version ${stored.version}, sealed by the ${options.sealed ? "client" : "platform"}. Nobody can read it back.`,
  );
  out.data(stored, () => String(stored.version));
}

/** `strongroom credential seal <name>`: prints the sealed body. */
async function seal(
  session: Session,
  [name = "", ...values]: string[],
  options: PutOptions,
): Promise<undefined> {
  refuseArgument(values, `strongroom credential seal ${name} …`);
  const body = await bodyOf(session, await intakeAs(session, options), name, { ...options, sealed: true });
  session.out.data(body, () => JSON.stringify(body));
}

async function bodyOf(
  { out }: Session,
  intake: Intake,
  name: string,
  options: PutOptions,
): Promise<PutCredential> {
  const { level, sealed, reason } = options;
  const common = await putOf(options);
  if (common.purpose === "broker" && level) {
    throw new Failure("usage", "--level is for jobs; the rules say who may use a credential of the broker");
  }
  const given = {
    ...{ ...common, ...(level && { level }) },
    ...(reason !== undefined && { reason }),
  } as PutOf;
  const value = await readSecret(out, `Value of ${name}`);
  if (!sealed) return { value: value.reveal(), ...given };
  return { ...(await sealForPut(out, intake, name, given, value)), ...given };
}

/** `strongroom credential list` */
async function list(session: Session, _: string[], options: MemberOptions): Promise<undefined> {
  const credentials = await (await intakeAs(session, options)).credentials();
  if (credentials.length === 0) {
    session.out.note(
      "No credentials. Store one: strongroom credential put NAME --origin URL --path PATTERN < FILE",
    );
  }
  session.out.data(credentials, () =>
    credentials.length === 0
      ? []
      : table(
          ["NAME", "VERSION", "STATE", "LEVEL", "ORIGIN", "METHODS", "LAST USED"],
          credentials.map((each) => [
            each.name,
            String(each.version),
            each.disabled ? "disabled" : "enabled",
            ...(each.purpose === "broker"
              ? ["by rules", each.destination.origin, "by rules"]
              : [each.level, each.destination.origin, each.destination.methods.join()]),
            each.lastUsedAt ?? "-",
          ]),
        ),
  );
}

/** `strongroom credential show <name>`: all but its value, which nothing returns. */
async function show(session: Session, [name = ""]: string[], options: MemberOptions): Promise<undefined> {
  const found = await (await intakeAs(session, options)).credential(name);
  session.out.data(found, () => {
    const rows: [string, string | number | undefined][] = [
      ["name", found.name],
      ["purpose", found.purpose],
      ["version", found.version],
      ["state", found.disabled ? "disabled" : "enabled"],
      ...destinationRows(found),
      ["sealed by", found.versions[0]?.sealedBy],
      ["rewrapped", found.versions[0]?.rewrappedAt],
      ["created", found.createdAt],
      ["updated", found.updatedAt],
      ["last used", found.lastUsedAt ?? "never"],
    ];
    return rows.filter(([, value]) => value).map(([label, value]) => `${label.padEnd(12)} ${value}`);
  });
}

function destinationRows(found: Credential): [string, string][] {
  const { inject, origin } = found.destination;
  const injected: [string, string] = [
    "injected as",
    "header" in inject ? `${inject.header}: ${inject.format}` : Object.keys(inject).join(),
  ];
  if (found.purpose === "broker") {
    const { rules, grant, rotation } = found.destination;
    return [
      ["origin", origin],
      injected,
      ...rules.map(({ id, methods, paths, who }): [string, string] => [
        "rule",
        `${id}: ${methods.join()} ${paths.join(" ")}, for level ${who.level}`,
      ]),
      ["grant", grant?.type ?? ""],
      ["rotation", rotation?.type ?? ""],
    ];
  }
  const { methods, paths } = found.destination;
  return [
    ["level", found.level],
    ["origin", origin],
    ["methods", methods.join(", ")],
    ["paths", paths.join(", ")],
    injected,
  ];
}

/** `strongroom credential disable <name>`: jobs that would use it are refused from now on. */
async function disable(session: Session, [name = ""]: string[], options: MemberOptions): Promise<undefined> {
  const disabled = await (await intakeAs(session, options)).setCredential(name, "disable");
  session.out.note(`${name} is disabled. Its value is kept: strongroom credential enable ${name} …`);
  session.out.data(disabled, () => []);
}

/** `strongroom credential enable <name>` */
async function enable(session: Session, [name = ""]: string[], options: MemberOptions): Promise<undefined> {
  const enabled = await (await intakeAs(session, options)).setCredential(name, "enable");
  session.out.note(`${name} is enabled.`);
  session.out.data(enabled, () => []);
}

/** `strongroom credential delete <name> --yes`: destroys the value for good. */
async function remove(
  session: Session,
  [name = ""]: string[],
  options: MemberOptions & { yes?: boolean },
): Promise<undefined> {
  if (!options.yes) {
    throw new Failure(
      "usage",
      `Deleting ${name} destroys its value and data key for good`,
      "Pass --yes to confirm.",
    );
  }
  await (await intakeAs(session, options)).deleteCredential(name);
  session.out.note(`${name} is deleted.`);
  session.out.data({ deleted: name }, () => []);
}

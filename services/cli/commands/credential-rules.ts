import { Option } from "commander";
import type { CheckRules, CredentialRules } from "../../shared/api/rules.ts";
import { LEVELS, type Level } from "../../shared/org.ts";
import { METHODS } from "../../shared/work/destination.ts";
import type { CliCommand } from "../command.ts";
import { readJsonFile } from "../destination-options.ts";
import { Failure } from "../failure.ts";
import { declareMember, intakeAs, type MemberOptions } from "../member.ts";
import { repeated } from "../options.ts";
import { table } from "../output.ts";
import type { Session } from "../session.ts";

export const showRulesCommand: CliCommand = {
  declare: (line) => void declareMember(line.argument("<name>")),
  run: show,
};

export const setRulesCommand: CliCommand = {
  declare(line) {
    declareMember(line.argument("<name>").argument("<file>", "JSON: a list of rules; - is stdin"))
      .option("--if-version <version>", "only if the credential has this version")
      .addHelpText(
        "after",
        `
The value stays the same, and nobody needs it: the broker seals it anew for the changed rules, as the next version.

Example of a file:
  [{"id": "read", "methods": ["GET"], "paths": ["/v1/**"], "query": ["limit"], "who": {"level": "writer"}}]`,
      );
  },
  run: set,
};

export const checkRulesCommand: CliCommand = {
  declare(line) {
    declareMember(
      line
        .argument("<name>")
        .argument("<method>", METHODS.join(", "))
        .argument("<path>", "the path, with a query if there is one"),
    )
      .option("--content-type <type>", "of the request's body; without it there is no body")
      .addOption(
        new Option("--as-level <level>", "as another caller of this level; for admins").choices(LEVELS),
      )
      .addOption(repeated("--as-group <group>", "with this group (may be repeated)"))
      .option("--as-subject <subject>", "with this `sub`")
      .addHelpText(
        "after",
        `
Nothing is sent. Exits with 1 if no rule allows the request. It says nothing of rates, nor whether the credential is enabled.

Example:
  strongroom credential rules check stripe POST /v1/refunds --content-type application/json --as-level writer --org acme --group admin`,
      );
  },
  run: check,
};

/** `strongroom credential rules show <name>` */
async function show(session: Session, [name = ""]: string[], options: MemberOptions): Promise<undefined> {
  const found = await (await intakeAs(session, options)).rules(name);
  if (found.rules.length === 0) session.out.note(`No rule allows anything with ${name}.`);
  session.out.data(found, () => (found.rules.length === 0 ? [] : rows(found)));
}

function rows({ rules }: CredentialRules): string[] {
  return table(
    ["RULE", "METHODS", "PATHS", "QUERY", "WHO", "RATE", "HOURS"],
    rules.map(({ id, methods, paths, query = [], who, rate, hours }) => [
      id,
      methods.join(),
      paths.join(" "),
      query.join() || "-",
      [`level ${who.level}`, who.groups && `groups ${who.groups}`, who.subjects && `subjects ${who.subjects}`]
        .filter(Boolean)
        .join("; "),
      rate ? `${rate.perMinute}/min` : "-",
      hours
        ? `${[hours.days?.join(), `${hours.from}-${hours.to}`, hours.timeZone].filter(Boolean).join(" ")}`
        : "-",
    ]),
  );
}

/** `strongroom credential rules set <name> <file>`: prints the new version. */
async function set(
  session: Session,
  [name = "", file = ""]: string[],
  { ifVersion, ...options }: MemberOptions & { ifVersion?: string },
): Promise<undefined> {
  const rules = await readJsonFile<CredentialRules["rules"]>(file);
  const intake = await intakeAs(session, options);
  const { concurrency } = await intake.rules(name);
  const body = { rules, ...(concurrency !== undefined && { concurrency }) };
  const stored = await intake.putRules(name, body, ifVersion);
  session.out.note(`The rules of ${name} hold from now on, as version ${stored.version}.`);
  session.out.data(stored, () => String(stored.version));
}

type CheckOptions = MemberOptions & {
  contentType?: string;
  asLevel?: Level;
  asGroup?: string[];
  asSubject?: string;
};

/** `strongroom credential rules check <name> <method> <path>`: exits with 1 if no rule allows it. */
async function check(
  session: Session,
  [name = "", method = "", path = ""]: string[],
  { contentType, asLevel, asGroup, asSubject, ...options }: CheckOptions,
): Promise<number | undefined> {
  const known = METHODS.find((each) => each === method.toUpperCase());
  if (!known) throw new Failure("usage", `${method} is not one of ${METHODS.join(", ")}`);
  if (!asLevel && (asGroup || asSubject))
    throw new Failure("usage", "Pass --as-level with --as-group, --as-subject");
  const as = asLevel && {
    level: asLevel,
    ...(asGroup && { groups: asGroup }),
    ...(asSubject !== undefined && { subject: asSubject }),
  };
  const asked: CheckRules = {
    ...{ method: known, path },
    ...(contentType !== undefined && { contentType }),
    ...(as && { as }),
  };
  const checked = await (await intakeAs(session, options)).checkRules(name, asked);
  session.out.data(checked, () =>
    checked.allowed
      ? `allowed by ${checked.rule} (${checked.pattern})`
      : `not allowed: ${checked.part}: ${checked.message}`,
  );
  return checked.allowed ? undefined : 1;
}

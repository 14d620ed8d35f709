import { readFile } from "node:fs/promises";
import { Option } from "commander";
import { Value } from "typebox/value";
import type { PutRotation, Rotation, RotationRun } from "../../shared/api/rotations.ts";
import { Recipe } from "../../shared/broker/recipe.ts";
import type { CliCommand } from "../command.ts";
import { Failure } from "../failure.ts";
import type { Intake } from "../intake-client.ts";
import { declareMember, intakeAs, type MemberOptions } from "../member.ts";
import { period } from "../options.ts";
import { table } from "../output.ts";
import type { Session } from "../session.ts";
import { waitFor } from "../wait.ts";

const WAIT_MS = 600_000;

export const setCommand: CliCommand = {
  declare(line) {
    declareMember(line.argument("<name>", "the credential, of purpose broker"))
      .addOption(new Option("--recipe <file>", "how it is rotated, as JSON (default: as its policy says)"))
      .addOption(period("--every <duration>", "how often it is rotated by itself (default: 336h)"))
      .addOption(period("--grace <duration>", "how long the old key stays valid (default: 1h)"))
      .option("--off", "do not rotate it by itself; it can be started")
      .addHelpText(
        "after",
        `
A worker makes the new value, seals it, shows that it works, and revokes the old one after the grace. Nobody sees
either. A recipe is one of a provider with an API for its keys (rest), of AWS (aws_access_key) or of a role of
PostgreSQL (postgresql); docs/broker.md has examples.

Example:
  strongroom credential rotation set provider --recipe recipe.json --every 168h --org acme --group admin`,
      );
  },
  run: set,
};
export const startCommand: CliCommand = {
  declare(line) {
    declareMember(line.argument("<name>"))
      .option("--wait", "wait until the new value is in use; fails if the run does")
      .addHelpText(
        "after",
        `
Needs the level admin or the group rotation-operator. With --wait it does not wait for the end of the grace.

Example:
  strongroom credential rotation start provider --org acme --group rotation-operator --wait`,
      );
  },
  run: start,
};
const named: CliCommand["declare"] = (line) => void declareMember(line.argument("<name>"));
export const statusCommand: CliCommand = { declare: named, run: status };
export const historyCommand: CliCommand = { declare: named, run: history };

interface SetOptions extends MemberOptions {
  recipe?: string;
  every?: number;
  grace?: number;
  off?: boolean;
}

/** `strongroom credential rotation set <name>` */
async function set(
  session: Session,
  [name = ""]: string[],
  { recipe, every, grace, off, ...member }: SetOptions,
): Promise<undefined> {
  const body: PutRotation = {
    ...(recipe !== undefined && { recipe: await readRecipe(recipe) }),
    ...(every !== undefined && { everySeconds: every }),
    ...(grace !== undefined && { graceSeconds: grace }),
    ...(off && { enabled: false }),
  };
  const rotation = await (await intakeAs(session, member)).putRotation(name, body);
  session.out.note(
    rotation.nextAt ? `${name} is rotated next at ${rotation.nextAt}` : `${name} is not rotated by itself`,
  );
  session.out.data(rotation, () => []);
}

async function readRecipe(file: string): Promise<Recipe> {
  const text = await readFile(file, "utf8").catch(() => {
    throw new Failure("usage", `--recipe ${file}: the file cannot be read`);
  });
  let recipe: unknown;
  try {
    recipe = JSON.parse(text);
  } catch {
    throw new Failure("usage", `--recipe ${file}: not JSON`);
  }
  if (Value.Check(Recipe, recipe)) return recipe;
  const hint = "See docs/broker.md for the recipes of rest, aws_access_key and postgresql";
  throw new Failure("usage", `--recipe ${file}: not a recipe`, hint);
}

/** `strongroom credential rotation start <name>`: prints the run's id. */
async function start(
  session: Session,
  [name = ""]: string[],
  { wait, ...member }: MemberOptions & { wait?: boolean },
): Promise<undefined> {
  const { out } = session;
  const intake = await intakeAs(session, member);
  const run = await intake.startRotation(name);
  if (!wait) {
    out.note(`Started. See how far it is: strongroom credential rotation status ${name} …`);
    out.data(run, () => run.id);
    return;
  }
  const inUse = await switched(session, intake, run);
  out.data(inUse, () => inUse.id);
  if (inUse.state === "failed") {
    throw new Failure("failure", `The rotation failed: ${inUse.failure?.detail}`, consequence(inUse));
  }
  const until = inUse.graceUntil ? `; the old key works until ${inUse.graceUntil}` : "";
  out.note(`Version ${inUse.toVersion} is in use${until}.`);
}

function switched({ out }: Session, intake: Intake, { id, credential }: RotationRun): Promise<RotationRun> {
  return waitFor(out, `Rotating ${credential}`, () => intake.rotationRun(credential, id), {
    done: ({ state, toVersion }) => state !== "running" || toVersion !== undefined,
    doing: ({ phase, nextAt }) => (nextAt ? `${phase}, again at ${nextAt}` : phase),
    withinMs: WAIT_MS,
    hint: `It goes on. See it later: strongroom credential rotation status ${credential} …`,
  });
}

const consequence = ({ toVersion }: RotationRun): string =>
  toVersion === undefined
    ? "The value before stays in use. The schedule tries again, and so can you."
    : "The new value is in use; the old key was not revoked. The next run tries that first.";

/** `strongroom credential rotation status <name>` */
async function status(session: Session, [name = ""]: string[], options: MemberOptions): Promise<undefined> {
  const rotation = await (await intakeAs(session, options)).rotation(name);
  session.out.data(rotation, () => [
    ...about(rotation),
    ...(rotation.run ? table(HEADING, [row(rotation.run)]) : []),
  ]);
}

function about({ recipe, everySeconds, nextAt, keysLeft, lastError }: Rotation): string[] {
  return [
    `Recipe  ${recipe.type}`,
    `Every   ${everySeconds / 3600} h`,
    `Next    ${nextAt ?? "only if started"}`,
    ...(keysLeft > 0 ? [`Left    ${keysLeft} old keys, which the next run revokes`] : []),
    ...(lastError ? [`Error   ${lastError}`] : []),
  ];
}

/** `strongroom credential rotation history <name>` */
async function history(session: Session, [name = ""]: string[], options: MemberOptions): Promise<undefined> {
  const runs = await (await intakeAs(session, options)).rotationRuns(name);
  if (runs.length === 0) session.out.note(`${name} was not rotated yet.`);
  session.out.data(runs, () => (runs.length === 0 ? [] : table(HEADING, runs.map(row))));
}

const HEADING = ["RUN", "STATE", "PHASE", "BY", "VERSIONS", "OLD KEY", "STARTED", "FAILURE"];
const row = (run: RotationRun): string[] => [
  run.id,
  run.state,
  run.phase,
  "schedule" in run.by ? "schedule" : run.by.subject,
  run.toVersion ? `${run.fromVersion} to ${run.toVersion}` : String(run.fromVersion),
  run.oldKey ?? "-",
  run.startedAt,
  run.failure?.detail ?? "",
];

import { setTimeout as sleep } from "node:timers/promises";
import type { Rewrap } from "../../shared/api/uses.ts";
import { StrongroomError } from "../../shared/errors.ts";
import type { CliCommand } from "../command.ts";
import { Failure } from "../failure.ts";
import type { Intake } from "../intake-client.ts";
import { declareMember, intakeAs, type MemberOptions } from "../member.ts";
import type { Session } from "../session.ts";
import { waitFor } from "../wait.ts";

const WAIT_MS = 480_000;
/** So often, a second apart, an intake is asked again that has as many jobs as it may have. */
const MOST_TRIES = 60;

export const rewrapCommand: CliCommand = {
  declare(line) {
    line.usage("<name> | --all [options]").argument("[name]");
    declareMember(line)
      .option("--all", "all credentials of the organization, also disabled ones")
      .option("--wait", "wait until they are sealed anew; fails if one could not be")
      .addHelpText(
        "after",
        `
A worker opens a credential and seals it anew, by the key provider's current key. Its value, version and destination
stay the same. Do this after an operator has rotated the key, and before older material of it is retired.

Prints each credential with its job: strongroom job show JOB …

Examples:
  strongroom credential rewrap stripe --org acme --group admin
  strongroom credential rewrap --all --org acme --group admin --wait`,
      );
  },
  run: rewrap,
};

/** `strongroom credential rewrap <name>|--all`: prints names with their jobs, or with `--wait` what came of those. */
async function rewrap(
  session: Session,
  [name]: string[],
  { all, wait, ...member }: MemberOptions & { all?: boolean; wait?: boolean },
): Promise<undefined> {
  const { out } = session;
  if ((name === undefined) === !all) throw new Failure("usage", "Pass either a credential's name or --all");
  const intake = await intakeAs(session, member);
  const names = name === undefined ? (await intake.credentials()).map((each) => each.name) : [name];
  const jobs: Rewrap[] = [];
  for (const each of names) jobs.push(await submit(intake, each));
  if (!wait) {
    out.note(`Queued: ${amount(jobs.length)}. See what comes of one: strongroom job show JOB …`);
    out.data(jobs, () => jobs.map(({ credential, id }) => `${credential}  ${id}`));
    return;
  }
  const ended: Rewrap[] = [];
  for (const job of jobs) ended.push(await end(session, intake, job));
  out.data(ended, () => ended.map(({ credential, state }) => `${credential}  ${state}`));
  const failed = ended.filter(({ state }) => state === "failed");
  if (failed.length > 0) {
    const reasons = failed.map(
      ({ credential, failure }) => `${credential}: ${failure?.class}: ${failure?.detail}`,
    );
    throw new Failure(
      "failure",
      `Not sealed anew: ${reasons.join("\n")}`,
      "Nothing of these is changed, and they open as before. Try them again.",
    );
  }
  out.note(`Sealed anew: ${amount(ended.length)}.`);
}

const amount = (count: number) => (count === 1 ? "1 credential" : `${count} credentials`);

async function submit(intake: Intake, name: string): Promise<Rewrap> {
  for (let tries = 1; ; tries++) {
    try {
      return await intake.rewrap(name);
    } catch (error) {
      const isBusy = error instanceof StrongroomError && error.code === "too_many_requests";
      if (!isBusy || tries === MOST_TRIES) throw error;
      await sleep(1_000);
    }
  }
}

async function end({ out }: Session, intake: Intake, { id, credential }: Rewrap): Promise<Rewrap> {
  return waitFor(out, `Waiting for ${credential}`, async () => (await intake.job(id)) as Rewrap, {
    done: ({ state }) => state !== "queued",
    doing: ({ state, attempt }) => `${state}, attempt ${attempt}`,
    withinMs: WAIT_MS,
    hint: `It goes on. See it later: strongroom job show ${id} …`,
  });
}

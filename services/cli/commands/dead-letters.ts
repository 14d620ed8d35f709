import { type Command, Option } from "commander";
import { Value } from "typebox/value";
import { OrgId } from "../../shared/org.ts";
import { openQueues } from "../../shared/queue/open-queues.ts";
import type { DeadLetter, DeadLetters } from "../../shared/queue/queue.ts";
import { KINDS, type Kind } from "../../shared/work/kinds.ts";
import { WorkId } from "../../shared/work/messages.ts";
import type { CliCommand } from "../command.ts";
import { Failure } from "../failure.ts";
import { table } from "../output.ts";
import type { Session } from "../session.ts";

const MOST_LISTED = 1_000;

interface DeadLetterOptions {
  kind: Kind;
}

const declareKind = (line: Command): Command =>
  line.addOption(
    new Option("--kind <kind>", "whose worker's dead letters").choices(KINDS).makeOptionMandatory(),
  );

export const listCommand: CliCommand = { declare: (line) => void declareKind(line), run: list };
export const redriveCommand: CliCommand = {
  declare: (line) => void declareKind(line.argument("[id]", "one dead letter's; without it, all of them")),
  run: redrive,
};

/** `strongroom dead-letters list`: the job messages that no worker of a kind could handle; never what is in them. */
async function list(session: Session, _: string[], { kind }: DeadLetterOptions): Promise<undefined> {
  const letters = await withDeadLetters(session, kind, (deadLetters) => deadLetters.list(MOST_LISTED));
  const shown = letters.map(withoutBody);
  if (shown.length === 0) session.out.note(`No dead letters of ${kind}`);
  session.out.data(shown, () =>
    shown.length === 0
      ? []
      : table(
          ["ID", "TIME", "REASON", "JOB", "ORG"],
          shown.map(({ id, at, reason, job = "-", org = "-" }) => [id, at, reason, job, org]),
        ),
  );
}

/** `strongroom dead-letters redrive [id]`: sends them to the worker again. */
async function redrive(session: Session, [id]: string[], { kind }: DeadLetterOptions): Promise<undefined> {
  const redriven = await withDeadLetters(session, kind, (deadLetters) => deadLetters.redrive(id));
  if (id !== undefined && redriven === 0) {
    throw new Failure("notFound", `There is no dead letter ${id} of ${kind}`);
  }
  session.out.note(
    `Sent again: ${redriven}. A job whose time is over fails as expired; redrive that with: strongroom job redrive JOB`,
  );
  session.out.data({ redriven }, () => []);
}

async function withDeadLetters<T>(
  session: Session,
  kind: Kind,
  use: (deadLetters: DeadLetters) => Promise<T>,
): Promise<T> {
  await session.local("dead-letters");
  const { jobs, results, deadLetters } = await openQueues(`local:${session.state.queues(kind)}`);
  try {
    return await use(deadLetters);
  } finally {
    await Promise.all([jobs.close(), results.close()]);
  }
}

/** Of the body, whose form may be any, only the IDs that it has in clear. */
function withoutBody({ id, reason, at, body }: DeadLetter) {
  const { job, org } = membersOf(body);
  return {
    id,
    reason,
    at: new Date(at).toISOString(),
    ...(Value.Check(WorkId, job) && { job }),
    ...(Value.Check(OrgId, org) && { org }),
  };
}

function membersOf(body: string): { job?: unknown; org?: unknown } {
  try {
    return Object(JSON.parse(body));
  } catch {
    return {};
  }
}

import { Option } from "commander";
import type { Use, UseWithResult } from "../../shared/api/uses.ts";
import { UseState } from "../../shared/api/uses.ts";
import { type ErrorCode, StrongroomError } from "../../shared/errors.ts";
import type { CliCommand } from "../command.ts";
import { Failure } from "../failure.ts";
import type { Intake } from "../intake-client.ts";
import { jobId } from "../job-id.ts";
import { declareMember, intakeAs, type MemberOptions } from "../member.ts";
import { count, period } from "../options.ts";
import { table } from "../output.ts";
import { duration } from "../progress.ts";
import type { Session } from "../session.ts";
import { declareRequest, type RequestOptions, requestOf } from "../use-request.ts";
import { waitFor } from "../wait.ts";

export const runCommand: CliCommand = {
  declare(line) {
    declareMember(declareRequest(line))
      .option("--wait", "wait for the answer and print its body")
      .addOption(period("--timeout <duration>", "how long it may take to start (default: 5m)"))
      .option(
        "--idempotency-key <key>",
        "the same key with the same request is the same job (default: random)",
      )
      .addHelpText(
        "after",
        `
With --wait, stdout has the body of what the destination answered, without the credential, and stderr its status.

Examples:
  strongroom job run stripe GET /v1/balance --org acme --group writer --wait
  strongroom job run stripe POST /v1/refunds --org acme --group writer --header 'Content-Type: application/json' \\
    --data '{"charge":"ch_1"}'`,
      );
  },
  run,
};

export const listCommand: CliCommand = {
  declare(line) {
    declareMember(line)
      .addOption(new Option("--only <state>", "only those in this state").choices(UseState.enum))
      .option("--credential <name>", "only those of this credential")
      .addOption(count("--limit <n>", "number of jobs, newest first", 50, 1));
  },
  run: list,
};

const byId: CliCommand["declare"] = (line) => void declareMember(line.argument("<job>", "the job's id"));
export const showCommand: CliCommand = { declare: byId, run: show };
export const redriveCommand: CliCommand = {
  declare(line) {
    byId(line);
    line.option("--wait", "wait for the answer and print its body");
  },
  run: redrive,
};

const LIST = "strongroom job list …";
const WAIT_MS = 330_000;
const MARGIN_MS = 60_000;

type RunOptions = MemberOptions &
  RequestOptions & { wait?: boolean; timeout?: number; idempotencyKey?: string };

/** `strongroom job run <credential> <method> <path>`: prints the job's id, or with `--wait` the answer. */
async function run(
  session: Session,
  [credential = "", method = "", path = ""]: string[],
  options: RunOptions,
): Promise<undefined> {
  const request = await requestOf(method, path, options);
  const intake = await intakeAs(session, options);
  const { timeout, idempotencyKey } = options;
  const made = await intake.createUse(
    { credential, request, ...(timeout !== undefined && { timeoutSeconds: timeout }) },
    idempotencyKey,
  );
  await follow(session, intake, made, options.wait, timeout && timeout * 1000 + MARGIN_MS);
}

/** `strongroom job redrive <job>`: another attempt at a job that failed. */
async function redrive(
  session: Session,
  [id = ""]: string[],
  options: MemberOptions & { wait?: boolean },
): Promise<undefined> {
  const intake = await intakeAs(session, options);
  await follow(session, intake, await intake.redrive(jobId(id, LIST)), options.wait);
}

async function follow(
  session: Session,
  intake: Intake,
  made: Use,
  wait: boolean | undefined,
  withinMs = WAIT_MS,
): Promise<void> {
  const { out } = session;
  if (!wait) {
    out.note(`Queued. See what comes of it: strongroom job show ${made.id} …`);
    out.data(made, () => made.id);
    return;
  }
  const begun = performance.now();
  const ended = await waitFor(out, `Waiting for job ${made.id}`, () => intake.use(made.id), {
    done: ({ state }) => state !== "queued",
    doing: ({ state, attempt }) => `${state}, attempt ${attempt}`,
    withinMs,
    hint: `It goes on. See it later: strongroom job show ${made.id} …`,
  });
  if (ended.state === "failed") throw failed(ended);
  printAnswer(session, ended, duration(performance.now() - begun));
}

function failed({ id, failure }: Use): Failure {
  const {
    class: reason,
    detail,
    isTransient,
  } = failure ?? { class: "internal", detail: "", isTransient: false };
  return new Failure(
    "failure",
    `Job ${id} failed: ${reason}${detail && `: ${detail}`}`,
    isTransient
      ? `Another attempt may succeed: strongroom job redrive ${id} …`
      : "Another attempt would fail the same way.",
  );
}

/** The answer's body on stdout, and its status on stderr. */
function printAnswer({ out }: Session, use: UseWithResult, after: string): void {
  const { result } = use;
  if (!result) throw new Failure("notFound", `The result of job ${use.id} is no longer kept`);
  if ("sealed" in result) {
    out.note("The answer is sealed to the key that the job named.");
    out.data(use, () => JSON.stringify(result.sealed));
    return;
  }
  const { status, scrubbed, encoding, body } = result.answer;
  const times = scrubbed === 1 ? "once" : `${scrubbed} times`;
  out.note(
    `${status} after ${after}${scrubbed > 0 ? `; the credential was in the answer ${times} and was removed` : ""}`,
  );
  if (!out.json && encoding === "base64") out.stdout.write(Buffer.from(body, "base64"));
  else out.data(use, () => body);
}

/** `strongroom job list`: the newest jobs. */
async function list(
  session: Session,
  _: string[],
  options: MemberOptions & { only?: Use["state"]; credential?: string; limit: number },
): Promise<undefined> {
  const { only, credential, limit } = options;
  const filter = { ...(only && { state: only }), ...(credential && { credential }) };
  const uses = await (await intakeAs(session, options)).uses(filter, limit);
  if (uses.length === 0) session.out.note("No jobs. Run one: strongroom job run CREDENTIAL METHOD PATH …");
  session.out.data(uses, () =>
    uses.length === 0
      ? []
      : table(
          ["JOB", "STATE", "CREDENTIAL", "REQUEST", "STATUS", "CREATED", "FAILURE"],
          uses.map((use) => [
            use.id,
            use.state,
            use.credential,
            `${use.method} ${use.path}`,
            use.status ? String(use.status) : "-",
            use.createdAt,
            use.failure?.class ?? "",
          ]),
        ),
  );
}

/** Refusals of a job's result alone. */
const WITHOUT_RESULT: ErrorCode[] = ["result_gone", "forbidden"];

/** `strongroom job show <job>`: a job and, while it is kept, its answer. */
async function show(session: Session, [id = ""]: string[], options: MemberOptions): Promise<undefined> {
  const intake = await intakeAs(session, options);
  const found = jobId(id, LIST);
  const use = await intake.job(found).catch((error: unknown) => {
    // The job itself is there for readers, and for longer than its result.
    if (!(error instanceof StrongroomError && WITHOUT_RESULT.includes(error.code))) throw error;
    session.out.note(error.message);
    return intake.jobWithoutResult(found);
  });
  session.out.data(use, () => {
    const isRewrap = "type" in use;
    const answer = !isRewrap && use.result && "answer" in use.result ? use.result.answer : undefined;
    const rows: [string, string | number | undefined][] = [
      ["job", use.id],
      ["state", use.state],
      ["credential", `${use.credential}, version ${use.version}`],
      isRewrap ? ["type", "rewrap"] : ["request", `${use.method} ${use.path}`],
      ["attempt", use.attempt],
      ["failure", use.failure && `${use.failure.class}: ${use.failure.detail}`],
      ["status", isRewrap ? undefined : use.status],
      ["scrubbed", answer?.scrubbed],
      ["created", use.createdAt],
      ["ended", use.endedAt],
      ["result until", isRewrap ? undefined : use.resultUntil],
    ];
    return [
      ...rows
        .filter(([, value]) => value !== undefined)
        .map(([label, value]) => `${label.padEnd(13)} ${value}`),
      ...(answer ? ["", answer.encoding === "utf8" ? answer.body : "(bytes; see --json)"] : []),
    ];
  });
}

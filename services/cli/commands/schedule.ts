import type { Timing } from "../../shared/api/schedules.ts";
import type { CliCommand } from "../command.ts";
import { Failure } from "../failure.ts";
import { declareMember, intakeAs, type MemberOptions } from "../member.ts";
import { period } from "../options.ts";
import { table } from "../output.ts";
import type { Session } from "../session.ts";
import { declareRequest, type RequestOptions, requestOf } from "../use-request.ts";

export const putCommand: CliCommand = {
  declare(line) {
    declareMember(declareRequest(line.argument("<name>")))
      .option("--cron <expression>", "five fields: minute hour day month weekday")
      .option("--time-zone <zone>", "the expression's time zone, like Europe/Vienna (default: UTC)")
      .addOption(period("--every <duration>", "instead of --cron: how often (at least 1m)"))
      .option("--disabled", "store it without running it")
      .addHelpText(
        "after",
        `
The request is kept in clear and shown: put nothing secret into it.

Example:
  strongroom schedule put nightly stripe GET /v1/balance --cron '0 2 * * *' --org acme --group writer`,
      );
  },
  run: put,
};
export const listCommand: CliCommand = { declare: (line) => void declareMember(line), run: list };
export const deleteCommand: CliCommand = {
  declare: (line) => void declareMember(line.argument("<name>")),
  run: remove,
};

type PutOptions = MemberOptions &
  RequestOptions & { cron?: string; timeZone?: string; every?: number; disabled?: boolean };

/** `strongroom schedule put <name> <credential> <method> <path>` */
async function put(
  session: Session,
  [name = "", credential = "", method = "", path = ""]: string[],
  options: PutOptions,
): Promise<undefined> {
  const when = timingOf(options);
  const request = await requestOf(method, path, options);
  const schedule = await (await intakeAs(session, options)).putSchedule(name, {
    when,
    credential,
    request,
    ...(options.disabled && { disabled: true }),
  });
  session.out.note(schedule.nextAt ? `${name} runs next at ${schedule.nextAt}` : `${name} is disabled`);
  session.out.data(schedule, () => []);
}

function timingOf({ cron, timeZone, every }: PutOptions): Timing {
  if ((cron === undefined) === (every === undefined)) {
    throw new Failure("usage", "Pass either --cron EXPRESSION or --every DURATION");
  }
  if (every !== undefined) {
    if (timeZone) throw new Failure("usage", "--time-zone goes with --cron");
    return { everySeconds: every };
  }
  return { cron: cron ?? "", ...(timeZone && { timeZone }) };
}

/** `strongroom schedule list` */
async function list(session: Session, _: string[], options: MemberOptions): Promise<undefined> {
  const schedules = await (await intakeAs(session, options)).schedules();
  if (schedules.length === 0) {
    session.out.note(
      "No schedules. Create one: strongroom schedule put NAME CREDENTIAL METHOD PATH --every 1h",
    );
  }
  session.out.data(schedules, () =>
    schedules.length === 0
      ? []
      : table(
          ["NAME", "WHEN", "CREDENTIAL", "REQUEST", "NEXT", "LAST JOB", "LAST ERROR"],
          schedules.map(({ name, when, credential, request, nextAt, lastJob, lastError }) => [
            name,
            "cron" in when ? when.cron : `every ${when.everySeconds} s`,
            credential,
            `${request.method} ${request.path}`,
            nextAt ?? "disabled",
            lastJob ?? "-",
            lastError ?? "",
          ]),
        ),
  );
}

/** `strongroom schedule delete <name>` */
async function remove(session: Session, [name = ""]: string[], options: MemberOptions): Promise<undefined> {
  await (await intakeAs(session, options)).deleteSchedule(name);
  session.out.note(`${name} is deleted.`);
  session.out.data({ deleted: name }, () => []);
}

import type { Delivery, WebhookWithSecret } from "../../shared/api/webhooks.ts";
import { PAYLOAD_BYTES } from "../../shared/api/webhooks.ts";
import type { CliCommand } from "../command.ts";
import { Failure } from "../failure.ts";
import { jobId } from "../job-id.ts";
import { declareMember, intakeAs, type MemberOptions } from "../member.ts";
import { count } from "../options.ts";
import { table } from "../output.ts";
import type { Session } from "../session.ts";
import { readInput } from "../use-request.ts";
import { waitFor } from "../wait.ts";

const named: CliCommand["declare"] = (line) => void declareMember(line.argument("<name>"));

export const putCommand: CliCommand = {
  declare(line) {
    declareMember(line.argument("<name>"))
      .requiredOption("--url <url>", "where deliveries are sent")
      .option("--description <text>", "what it is for");
  },
  run: put,
};
export const listCommand: CliCommand = { declare: (line) => void declareMember(line), run: list };
export const showCommand: CliCommand = { declare: named, run: show };
export const rotateCommand: CliCommand = { declare: named, run: rotate };
export const enableCommand: CliCommand = { declare: named, run: enable };
export const disableCommand: CliCommand = { declare: named, run: disable };
export const sendCommand: CliCommand = {
  declare(line) {
    declareMember(line.argument("<name>"))
      .requiredOption("--payload <path>", "a file with the payload, any JSON; - is stdin")
      .option("--id <id>", "its webhook-id; the same id is sent once (default: random)")
      .option("--wait", "wait until it is delivered, or an attempt has failed")
      .addHelpText(
        "after",
        `
Example:
  echo '{"type":"invoice.paid"}' | strongroom webhook send billing --payload - --org acme --group writer --wait`,
      );
  },
  run: send,
};
export const deliveriesCommand: CliCommand = {
  declare(line) {
    named(line);
    line.addOption(count("--limit <n>", "number of deliveries, newest first", 50, 1));
  },
  run: deliveries,
};
export const redeliverCommand: CliCommand = {
  declare: (line) => void declareMember(line.argument("<name>").argument("<delivery>", "its id")),
  run: redeliver,
};
export const deleteCommand: CliCommand = {
  declare(line) {
    named(line);
    line.option("--yes", "do not ask for confirmation");
  },
  run: remove,
};

const WAIT_MS = 120_000;

/** `strongroom webhook put <name>`: prints the signing secret of a new receiver. */
async function put(
  session: Session,
  [name = ""]: string[],
  options: MemberOptions & { url: string; description?: string },
): Promise<undefined> {
  const { url, description } = options;
  const body = { url, ...(description !== undefined && { description }) };
  printSecret(session, await (await intakeAs(session, options)).putWebhook(name, body));
}

/** `strongroom webhook rotate <name>`: prints the new signing secret. */
async function rotate(session: Session, [name = ""]: string[], options: MemberOptions): Promise<undefined> {
  const rotated = await (await intakeAs(session, options)).rotateWebhook(name);
  if (rotated.previousSecretUntil) {
    session.out.note(
      `Until ${rotated.previousSecretUntil} deliveries are signed with the previous secret too.`,
    );
  }
  printSecret(session, rotated);
}

function printSecret({ out }: Session, webhook: WebhookWithSecret): void {
  const { secret } = webhook;
  out.note(
    secret
      ? "Give the secret on stdout to the receiver, which verifies signatures with it. It is not shown again."
      : `${webhook.name} is changed. Its secret stays.`,
  );
  out.data(webhook, () => secret ?? []);
}

/** `strongroom webhook list` */
async function list(session: Session, _: string[], options: MemberOptions): Promise<undefined> {
  const webhooks = await (await intakeAs(session, options)).webhooks();
  if (webhooks.length === 0)
    session.out.note("No webhooks. Create one: strongroom webhook put NAME --url URL");
  session.out.data(webhooks, () =>
    webhooks.length === 0
      ? []
      : table(
          ["NAME", "STATE", "URL", "LAST DELIVERED"],
          webhooks.map(({ name, disabled, url, lastDeliveredAt }) => [
            name,
            disabled ? "disabled" : "enabled",
            url,
            lastDeliveredAt ?? "-",
          ]),
        ),
  );
}

/** `strongroom webhook show <name>` */
async function show(session: Session, [name = ""]: string[], options: MemberOptions): Promise<undefined> {
  const found = await (await intakeAs(session, options)).webhook(name);
  session.out.data(found, () => {
    const rows: [string, string | number | undefined][] = [
      ["name", found.name],
      ["url", found.url],
      ["description", found.description],
      [
        "state",
        found.disabled ? `disabled${found.disabledBecause ? `: ${found.disabledBecause}` : ""}` : "enabled",
      ],
      ["secret", `version ${found.secretVersion}`],
      ["old secret until", found.previousSecretUntil],
      ["last delivered", found.lastDeliveredAt ?? "never"],
      ["failing since", found.failingSince],
      ["created", found.createdAt],
      ["updated", found.updatedAt],
    ];
    return rows.filter(([, value]) => value).map(([label, value]) => `${label.padEnd(16)} ${value}`);
  });
}

/** `strongroom webhook enable <name>`: also one that the platform disabled after days of failures. */
async function enable(session: Session, [name = ""]: string[], options: MemberOptions): Promise<undefined> {
  const webhook = await (await intakeAs(session, options)).setWebhook(name, "enable");
  session.out.note(`${name} is enabled.`);
  session.out.data(webhook, () => []);
}

/** `strongroom webhook disable <name>` */
async function disable(session: Session, [name = ""]: string[], options: MemberOptions): Promise<undefined> {
  const webhook = await (await intakeAs(session, options)).setWebhook(name, "disable");
  session.out.note(`${name} is disabled.`);
  session.out.data(webhook, () => []);
}

/** `strongroom webhook send <name> --payload <path>`: prints the delivery's id, or with `--wait` its state. */
async function send(
  session: Session,
  [name = ""]: string[],
  options: MemberOptions & { payload: string; id?: string; wait?: boolean },
): Promise<undefined> {
  const { out } = session;
  const bytes = await readInput(options.payload);
  if (bytes.length > PAYLOAD_BYTES) {
    throw new Failure("usage", `The payload is longer than ${PAYLOAD_BYTES / 1024} KiB`);
  }
  const intake = await intakeAs(session, options);
  const body = { payload: parsed(bytes.toString("utf8")), ...(options.id && { id: options.id }) };
  const made = await intake.send(name, body);
  if (!options.wait) {
    out.note(`Queued. See what comes of it: strongroom webhook deliveries ${name} …`);
    out.data(made, () => made.id);
    return;
  }
  const find = async () => (await intake.deliveries(name, 100)).find(({ id }) => id === made.id) ?? made;
  const ended = await waitFor(out, `Delivering ${made.id}`, find, {
    done: ({ state }) => state !== "queued",
    doing: ({ state, attempt }) => `${state}, attempt ${attempt}`,
    withinMs: WAIT_MS,
    hint: `It goes on. See it later: strongroom webhook deliveries ${name} …`,
  });
  if (ended.state !== "succeeded") {
    throw new Failure(
      "failure",
      `${made.id}: ${reasonOf(ended)}`,
      ended.nextAt ? `The next attempt is at ${ended.nextAt}.` : "It is not tried again.",
    );
  }
  out.data(ended, () => ended.state);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Failure("usage", "The payload is not JSON");
  }
}

function reasonOf({ attempts: [last] }: Delivery): string {
  if (last?.failure) return `${last.failure.class}: ${last.failure.detail}`;
  return last?.status ? `the receiver answered ${last.status}` : "not delivered";
}

/** `strongroom webhook deliveries <name>` */
async function deliveries(
  session: Session,
  [name = ""]: string[],
  options: MemberOptions & { limit: number },
): Promise<undefined> {
  const found = await (await intakeAs(session, options)).deliveries(name, options.limit);
  if (found.length === 0)
    session.out.note("No deliveries. Send one: strongroom webhook send NAME --payload FILE");
  session.out.data(found, () =>
    found.length === 0
      ? []
      : table(
          ["DELIVERY", "STATE", "ATTEMPT", "WEBHOOK-ID", "CREATED", "NEXT", "LAST ATTEMPT"],
          found.map((each) => [
            each.id,
            each.state,
            String(each.attempt),
            each.webhookId,
            each.createdAt,
            each.nextAt ?? "-",
            each.attempts.length > 0 ? reasonOf(each) : "-",
          ]),
        ),
  );
}

/** `strongroom webhook redeliver <name> <delivery>`: prints the new state. */
async function redeliver(
  session: Session,
  [name = "", id = ""]: string[],
  options: MemberOptions,
): Promise<undefined> {
  const delivery = jobId(id, `strongroom webhook deliveries ${name} …`);
  const again = await (await intakeAs(session, options)).redeliver(name, delivery);
  session.out.note(`Queued again. See what comes of it: strongroom webhook deliveries ${name} …`);
  session.out.data(again, () => again.id);
}

/** `strongroom webhook delete <name> --yes` */
async function remove(
  session: Session,
  [name = ""]: string[],
  options: MemberOptions & { yes?: boolean },
): Promise<undefined> {
  if (!options.yes) {
    throw new Failure(
      "usage",
      `Deleting ${name} destroys its signing secret for good`,
      "Pass --yes to confirm.",
    );
  }
  await (await intakeAs(session, options)).deleteWebhook(name);
  session.out.note(`${name} is deleted.`);
  session.out.data({ deleted: name }, () => []);
}

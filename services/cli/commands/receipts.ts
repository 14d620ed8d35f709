import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReceiptPage } from "../../shared/api/receipts.ts";
import { BrokenReceipts } from "../../shared/receipts/broken.ts";
import { type CheckpointKeys, readCheckpointKeys } from "../../shared/receipts/checkpoint-keys.ts";
import { readLines } from "../../shared/receipts/export.ts";
import type { Receipt } from "../../shared/receipts/receipt.ts";
import type { CliCommand } from "../command.ts";
import { Failure } from "../failure.ts";
import { declareMember, intakeAs, type MemberOptions } from "../member.ts";
import { count } from "../options.ts";
import { table } from "../output.ts";
import { type Verification, verifyReceipts } from "../receipts/verify.ts";
import type { Session } from "../session.ts";

export const listCommand: CliCommand = {
  declare(line) {
    declareMember(line)
      .option("--credential <name>", "only what this credential was used for")
      .option("--id <id>", "only this request or job")
      .addOption(count("--limit <n>", "number of entries", 100, 1));
  },
  run: list,
};
export const exportCommand: CliCommand = { declare: (line) => void declareMember(line), run: exportAll };
export const keysCommand: CliCommand = { declare: (line) => void declareMember(line), run: keys };
export const verifyCommand: CliCommand = {
  declare(line) {
    declareMember(line)
      .option("--file <file>", "an export, instead of asking the intake; - is stdin")
      .option(
        "--key <file>",
        "the keys that sign checkpoints, PEM or a JWKS, instead of what the intake says",
      )
      .option("--since <checkpoint>", "checkpoint that an earlier verification printed, or a file with it");
  },
  run: verify,
};

/** More than a minute: checkpoints are signed at most that long after a change. */
const OVERDUE_SECONDS = 120;

/** `strongroom receipts list` */
async function list(
  session: Session,
  _: string[],
  options: MemberOptions & { credential?: string; id?: string; limit: number },
): Promise<undefined> {
  const { credential, id, limit } = options;
  const found = await (await intakeAs(session, options)).receipts({ credential, id }, limit);
  const { receipts, head, checkpoint } = found;
  if (receipts.length === 0) session.out.note("No receipts.");
  if (checkpoint) {
    const unsigned = head.sequence - checkpoint.sequence;
    const after = unsigned > 0 ? `, not the ${unsigned} after it` : "";
    session.out.note(`Signed up to entry ${checkpoint.sequence}, ${checkpoint.ageSeconds} s ago${after}.`);
  }
  if (isOverdue(found)) {
    session.out.note("Checkpoints are overdue: the platform's log says why they are not signed.");
  }
  session.out.data(found, () =>
    receipts.length === 0
      ? []
      : table(["ENTRY", "AT", "BY", "CREDENTIAL", "WHAT", "OUTCOME"], receipts.map(rowOf)),
  );
}

/** Whether an entry that is listed should have been signed by now, by the platform's own clock if it has said its time. */
function isOverdue({ receipts, checkpoint }: Pick<ReceiptPage, "receipts" | "checkpoint">): boolean {
  const { sequence = 0, at, ageSeconds = 0 } = checkpoint ?? {};
  const now = at === undefined ? Date.now() : Date.parse(at) + ageSeconds * 1000;
  return receipts.some(
    ({ entry }) => entry.sequence > sequence && now - Date.parse(entry.at) > OVERDUE_SECONDS * 1000,
  );
}

function rowOf({ entry }: Receipt): string[] {
  const first = [String(entry.sequence), entry.at];
  if (entry.type === "completion") {
    const { of, outcome, status, failure, scrubbed } = entry;
    const more = [status, failure, scrubbed > 0 && `scrubbed ${scrubbed}`].filter(Boolean);
    return [...first, "", "", `of entry ${of}`, [outcome, ...more].join(" ")];
  }
  const { by, credential, version, action, method, host, pathPattern, rule } = entry;
  const who = "schedule" in by ? `schedule ${by.schedule}` : by.subject;
  const what = [action, method, `${host}${pathPattern ?? ""}`, rule && `(rule ${rule})`].filter(Boolean);
  return [...first, printable(who), `${credential} v${version}`, printable(what.join(" ")), ""];
}

/** Without what a terminal would obey: subjects are chosen by identity providers. */
const printable = (text: string): string => text.replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cs}]/gu, "\ufffd");

/** `strongroom receipts export` */
async function exportAll(session: Session, _: string[], options: MemberOptions): Promise<undefined> {
  const chunks = await (await intakeAs(session, options)).exportReceipts();
  await pipeline(Readable.from(chunks), session.out.stdout, { end: false }).catch((error: unknown) => {
    // The reader of stdout wants no more.
    if ((error as { code?: string }).code !== "EPIPE") throw cutOff();
  });
}

/** `strongroom receipts keys` */
async function keys(session: Session, _: string[], options: MemberOptions): Promise<undefined> {
  const found = await (await intakeAs(session, options)).receiptKeys();
  session.out.note("Keep the keys apart from the platform: receipts verify --key FILE trusts nothing else.");
  session.out.data(found, () => JSON.stringify(found, null, 2));
}

/** `strongroom receipts verify` */
async function verify(
  session: Session,
  _: string[],
  options: MemberOptions & { file?: string; key?: string; since?: string },
): Promise<undefined> {
  const { file, key, since } = options;
  if (file !== undefined && key === undefined) {
    throw new Failure(
      "usage",
      "--file needs --key: the public keys that sign checkpoints",
      "Get them: strongroom receipts keys",
    );
  }
  const kept = since === undefined ? {} : { since: await checkpointOf(since) };
  const verified = await whatIsWrong(async () => {
    if (file !== undefined) {
      const org = options.org === undefined ? {} : { org: options.org };
      return verifyReceipts(readLines(opened(file)), { keys: await keysIn(key ?? ""), ...kept, ...org });
    }
    const intake = await intakeAs(session, options);
    const known =
      key === undefined ? readCheckpointKeys(JSON.stringify(await intake.receiptKeys())) : await keysIn(key);
    return verifyReceipts(readLines(await intake.exportReceipts()), { keys: known, ...kept });
  });
  report(session, verified, { isPlatformsKey: key === undefined });
}

/** Runs a verification; what it finds wrong ends the command with status 1. */
async function whatIsWrong(run: () => Promise<Verification>): Promise<Verification> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof BrokenReceipts) {
      const where = error.sequence === undefined ? "" : ` at entry ${error.sequence}`;
      const message = `The receipts are broken${where} (${error.fault}): ${printable(error.message)}`;
      throw new Failure(
        "failure",
        message,
        "Keep the export, and every checkpoint that you have: they show what was changed.",
      );
    }
    throw error instanceof TypeError && error.message === "terminated" ? cutOff() : error;
  }
}

function report(
  { out }: Session,
  verified: Verification,
  { isPlatformsKey }: { isPlatformsKey: boolean },
): void {
  const { first, end, intents, open, signed, unsigned } = verified;
  out.data(verified, () => [
    end.sequence < first
      ? "no entries"
      : `entries ${first} to ${end.sequence}: none changed, none missing; ${intents} intents, ${open} without a completion`,
    signed ? `signed up to entry ${signed.sequence} at ${signed.at}; ${unsigned} after it` : "not signed yet",
    ...(signed ? [`checkpoint  ${signed.jws}`] : []),
  ]);
  if (signed)
    out.note("Store the checkpoint elsewhere: --since proves later that nothing up to it was rewritten.");
  if (isPlatformsKey) {
    out.note("The keys are the platform's own answer. To trust your copy of them, pass --key FILE.");
  }
}

async function keysIn(path: string): Promise<CheckpointKeys> {
  const text = await readFile(path, "utf8").catch(() => {
    throw new Failure("usage", `--key: ${path} cannot be read`);
  });
  try {
    return readCheckpointKeys(text);
  } catch (error) {
    throw new Failure("usage", `--key: ${path}: ${error instanceof Error ? error.message : "no keys"}`);
  }
}

async function checkpointOf(given: string): Promise<string> {
  if (/^[\w-]+\.[\w-]+\.[\w-]+$/.test(given)) return given;
  const text = await readFile(given, "utf8").catch(() => {
    throw new Failure(
      "usage",
      "--since expects the checkpoint that an earlier verification printed, or a file with it",
    );
  });
  return text.trim();
}

async function* opened(path: string): AsyncGenerator<Uint8Array> {
  const stream: AsyncIterable<Uint8Array> = path === "-" ? process.stdin : createReadStream(path);
  try {
    yield* stream;
  } catch (error) {
    throw new Failure("usage", `--file: ${path} cannot be read (${(error as { code?: string }).code})`);
  }
}

const cutOff = () =>
  new Failure(
    "unavailable",
    "The export was cut off before its end",
    "Try the same command again in a moment.",
  );

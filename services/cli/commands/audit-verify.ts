import {
  headText,
  parseHead,
  TRAIL_BEGIN,
  TRAIL_HEAD_HEADER,
  type TrailEntry,
  TrailFollower,
  type TrailHead,
} from "../../shared/audit/trail.ts";
import type { CliCommand } from "../command.ts";
import { Failure } from "../failure.ts";
import { recordsWith } from "../platform/trace.ts";
import { TrailAnchors } from "../platform/trail-anchors.ts";
import { createProgress } from "../progress.ts";
import type { Session } from "../session.ts";

export const verifyCommand: CliCommand = {
  declare(line) {
    line
      .option("--head <head>", "head that an earlier verification printed: the trail must still contain it")
      .option("--log-group <name>", "on AWS: the CloudWatch log group of the internal Vault's audit log");
  },
  run: verifyTrail,
};

export interface VerifyOptions {
  /** The head that an earlier verification printed. */
  head?: string;
  /** The CloudWatch log group of the internal Vault's audit log. */
  logGroup?: string;
}

/**
 * `strongroom audit verify`: reads the control plane's whole trail, verifies its hash chain, and compares it with
 * the writes in the internal Vault's audit log, if that is on this machine or in the given log group, and with an
 * earlier head, if one is given. Prints the trail's head, to be stored elsewhere.
 */
export async function verifyTrail(
  session: Session,
  _: string[],
  { head: noted, logGroup }: VerifyOptions,
): Promise<undefined> {
  const expected = noted === undefined ? undefined : parseHead(noted);
  if (noted !== undefined && !expected) {
    throw new Failure("usage", "--head expects the head that an earlier verification printed");
  }
  // The log is read first: entries written meanwhile are on the trail and need not be in the log.
  const anchors = await (logGroup ? anchorsIn(logGroup, session) : localAnchors(session));
  const { follower, entries, strays, end } = await readTrail(session);
  const { head } = follower;

  const problems = anchors?.differences(entries) ?? [];
  if (follower.stoppedBy) problems.push(follower.stoppedBy);
  else if (head.sequence < end.sequence) problems.push(`entry ${follower.next} is missing`);
  if (strays.length > 0 && !anchors) {
    problems.push(`there are entries past its end (${some(strays)}): it may have been truncated`);
  }
  if (problems.length > 0) {
    throw new Failure("failure", `The trail is broken: ${some(problems)}`, KEEP);
  }
  if (logGroup && entries.length > 0 && !anchors?.span) {
    throw new Failure(
      "usage",
      `The log group ${logGroup} has no write of a trail entry, so nothing could be compared`,
      "Pass the log group of the internal Vault's task: /strongroom/platform/internal-vault",
    );
  }
  if (expected && !isSame(expected, TRAIL_BEGIN) && !entries.some((entry) => isSame(entry, expected))) {
    throw new Failure(
      "failure",
      `This is not the trail that was verified before: it has no entry ${noted}`,
      KEEP,
    );
  }
  const audited = anchors?.span && { ...anchors.span, gaps: anchors.gaps(entries) };
  report(session, { follower, strays, audited });
}

const KEEP = "Preserve the internal Vault's storage and audit log unchanged: they show who wrote there.";
const SHOWN = 10;

/** Reads the whole trail from its beginning. */
async function readTrail(session: Session) {
  const controlPlane = await session.controlPlane();
  const follower = new TrailFollower(TRAIL_BEGIN);
  const entries: Pick<TrailEntry, "sequence" | "hash">[] = [];
  for (;;) {
    const page = await controlPlane.trail(follower.next - 1);
    const slots = new Map<number, TrailEntry>(page.entries.map((entry) => [entry.sequence, entry]));
    const end = follower.next + page.entries.length + page.foreign.length;
    while (follower.next < end) {
      const entry = slots.get(follower.next);
      follower.take(entry);
      if (entry) entries.push({ sequence: entry.sequence, hash: entry.hash });
    }
    const isLast = page.entries.length + page.foreign.length === 0;
    if (isLast) return { follower, entries, strays: page.strays, end: page.head };
  }
}

/** The writes in the audit log of this machine's internal Vault; undefined for a platform on another machine. */
async function localAnchors(session: Session): Promise<TrailAnchors | undefined> {
  if (session.environment.STRONGROOM_URL) return undefined;
  await session.local("audit verify");
  const log = session.state.at("internal-vault", "audit.log");
  return TrailAnchors.of(await recordsWith(log, "trail/data/"));
}

/** The writes in the internal Vault's audit log on AWS. Writes of trail entries are found by their header. */
async function anchorsIn(logGroup: string, { out }: Session): Promise<TrailAnchors> {
  const { recordsInLogGroup } = await import("../platform/read-log-group.ts");
  return TrailAnchors.of(recordsInLogGroup(logGroup, TRAIL_HEAD_HEADER, createProgress(out.stderr)));
}

function report(
  { out }: Session,
  {
    follower: { head, passed },
    strays,
    audited,
  }: {
    follower: TrailFollower;
    strays: string[];
    audited: { from: number; to: number; gaps: number } | undefined;
  },
): void {
  const data = {
    entries: head.sequence - passed.length,
    head: headText(head),
    passed,
    strays,
    ...(audited && { audited }),
  };
  out.data(data, () => [
    `${data.entries} entries, none changed, none missing`,
    ...(audited ? [`entries ${audited.from} to ${audited.to} match the internal Vault's audit log`] : []),
    ...(audited?.gaps ? [`${audited.gaps} of these are not in that log: their writer is unknown`] : []),
    ...(passed.length > 0 ? [`skipped: ${some(passed.map((slot) => `entry ${slot}`))}`] : []),
    ...(strays.length > 0 ? [`off the trail: ${some(strays)}`] : []),
    `head  ${data.head}`,
  ]);
  if (passed.length + strays.length > 0) {
    out.note(
      "Someone else wrote with the control plane's login. Rotate its secret ID, and check what else was written.",
    );
  }
  out.note("Store the head elsewhere: a later check with --head proves that nothing up to it was rewritten.");
}

const isSame = (a: TrailHead, b: TrailHead): boolean => a.sequence === b.sequence && a.hash === b.hash;

const some = (lines: string[]): string =>
  lines.length > SHOWN
    ? `${lines.slice(0, SHOWN).join("; ")}; and ${lines.length - SHOWN} more`
    : lines.join("; ");

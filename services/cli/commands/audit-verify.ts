import {
  headText,
  parseHead,
  TRAIL_BEGIN,
  TRAIL_HEAD_HEADER,
  type TrailEntry,
  TrailFollower,
  type TrailHead,
} from "../../shared/audit/trail.ts";
import { TrailAnchors } from "../../shared/audit/trail-anchors.ts";
import { createProgress } from "../../shared/progress.ts";
import { Failure } from "../failure.ts";
import { recordsWith } from "../platform/trace.ts";
import type { Session } from "../session.ts";

export interface VerifyOptions {
  /** What an earlier verification printed. */
  head?: string;
  /** The log group of CloudWatch Logs that the internal Vault's audit log goes to. */
  logGroup?: string;
}

/**
 * `strongroom audit verify`: reads the control plane's whole trail, follows its chain of hashes, and holds it
 * against what the internal Vault's audit log saw written, if that is on this machine or in a log group that is
 * named, and against a head that was noted before, if one is named. Prints where it ends, to be noted elsewhere.
 */
export async function verifyTrail(
  session: Session,
  _: string[],
  { head: noted, logGroup }: VerifyOptions,
): Promise<undefined> {
  const expected = noted === undefined ? undefined : parseHead(noted);
  if (noted !== undefined && !expected) {
    throw new Failure("usage", "--head takes what an earlier verification printed");
  }
  // Read first: what is written meanwhile is on the trail and need not be in the log.
  const anchors = await (logGroup ? anchorsIn(logGroup, session) : localAnchors(session));
  const { follower, entries, strays, end } = await readTrail(session);
  const { head } = follower;

  const problems = anchors?.differences(entries) ?? [];
  if (follower.stoppedBy) problems.push(follower.stoppedBy);
  else if (head.sequence < end.sequence) problems.push(`entry ${follower.next} is missing`);
  if (strays.length > 0 && !anchors) {
    problems.push(`behind its end there is more (${some(strays)}): it may have been cut`);
  }
  if (problems.length > 0) {
    throw new Failure("failure", `The trail is broken: ${some(problems)}`, KEEP);
  }
  if (logGroup && entries.length > 0 && !anchors?.span) {
    throw new Failure(
      "usage",
      `The log group ${logGroup} holds no write of an entry: nothing could be compared`,
      "Name the one that the internal Vault's task writes to: /strongroom/platform/internal-vault",
    );
  }
  if (expected && !isSame(expected, TRAIL_BEGIN) && !entries.some((entry) => isSame(entry, expected))) {
    throw new Failure("failure", `The trail is another one: entry ${noted} is not on it`, KEEP);
  }
  const audited = anchors?.span && { ...anchors.span, gaps: anchors.gaps(entries) };
  report(session, { follower, strays, audited });
}

const KEEP = "Keep the internal Vault's storage and its audit log as they are: they show who wrote there.";
const SHOWN = 10;

/** The whole trail, followed from its beginning. */
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

/** What this machine's internal Vault saw written; undefined for a platform elsewhere. */
async function localAnchors(session: Session): Promise<TrailAnchors | undefined> {
  if (session.environment.STRONGROOM_URL) return undefined;
  await session.local("audit verify");
  const log = session.state.at("internal-vault", "audit.log");
  return TrailAnchors.of(await recordsWith(log, "trail/data/"));
}

/** What the internal Vault saw written, on AWS. Its log has many requests; those that made entries are found by their header. */
async function anchorsIn(logGroup: string, { out }: Session): Promise<TrailAnchors> {
  const { recordsInLogGroup } = await import("../platform/log-group.ts");
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
    ...(audited ? [`${audited.from} to ${audited.to} are as the internal Vault's audit log has them`] : []),
    ...(audited?.gaps ? [`${audited.gaps} of these are not in that log: nothing says who wrote them`] : []),
    ...(passed.length > 0 ? [`passed over: ${some(passed.map((slot) => `entry ${slot}`))}`] : []),
    ...(strays.length > 0 ? [`off the trail: ${some(strays)}`] : []),
    `head  ${data.head}`,
  ]);
  if (passed.length + strays.length > 0) {
    out.note(
      "Somebody else wrote with the control plane's login: give it another secret id, and look what else",
    );
  }
  out.note("Note the head elsewhere: verified with --head, nothing up to it can have been written anew.");
}

const isSame = (a: TrailHead, b: TrailHead): boolean => a.sequence === b.sequence && a.hash === b.hash;

const some = (lines: string[]): string =>
  lines.length > SHOWN
    ? `${lines.slice(0, SHOWN).join("; ")}; and ${lines.length - SHOWN} more`
    : lines.join("; ");

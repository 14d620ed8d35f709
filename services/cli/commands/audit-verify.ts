import { followTrail, TRAIL_BEGIN, TrailBroken, type TrailHead } from "../../shared/audit/trail.ts";
import { Failure } from "../failure.ts";
import type { Session } from "../session.ts";

/**
 * `strongroom audit verify`: reads the control plane's whole trail and follows its chain of hashes, and holds it
 * against a head that was noted before, where one is named. Prints where it ends, to be noted elsewhere.
 */
export async function verifyTrail(
  session: Session,
  _: string[],
  { head: noted }: { head?: string },
): Promise<undefined> {
  const expected = noted === undefined ? undefined : parseHead(noted);
  const controlPlane = await session.controlPlane();
  let head: TrailHead = TRAIL_BEGIN;
  let isMet = expected === undefined || isSame(expected, head);
  try {
    for (;;) {
      const { entries, head: end } = await controlPlane.trail(head.sequence);
      head = followTrail(entries, head);
      isMet ||= entries.some((entry) => expected !== undefined && isSame(entry, expected));
      if (head.sequence >= end.sequence) break;
      if (entries.length === 0) throw new TrailBroken(`entry ${head.sequence + 1} is missing`);
    }
  } catch (error) {
    if (!(error instanceof TrailBroken)) throw error;
    throw new Failure("failure", `The trail is broken: ${error.message}`, KEEP);
  }
  if (!isMet) throw new Failure("failure", `The trail is another one: entry ${noted} is not on it`, KEEP);
  out(session, head);
}

const KEEP = "Keep the internal Vault's storage and its audit log as they are: they show who wrote there.";

function out(session: Session, head: TrailHead): void {
  session.out.data({ entries: head.sequence, head: textOf(head) }, () => [
    `${head.sequence} entries, none changed, none missing`,
    `head  ${textOf(head)}`,
  ]);
  session.out.note(
    "Note the head elsewhere: verified with --head, nothing up to it can have been written anew.",
  );
}

const textOf = ({ sequence, hash }: TrailHead): string => `${sequence}:${hash}`;
const isSame = (a: TrailHead, b: TrailHead): boolean => a.sequence === b.sequence && a.hash === b.hash;

function parseHead(text: string): TrailHead {
  const [, sequence, hash = ""] = /^([0-9]{1,12}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (sequence === undefined) throw new Failure("usage", "--head takes what an earlier verification printed");
  return { sequence: Number(sequence), hash };
}

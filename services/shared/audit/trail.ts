import { createHash } from "node:crypto";
import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { OrgId } from "../org.ts";

const Digest = Type.String({ pattern: "^[0-9a-f]{64}$" });

/**
 * One thing that the control plane was asked to do or did. `hash` is over all the rest, and `previous` is the
 * hash of the entry before: to change one is to change all that follow.
 */
export const TrailEntry = Type.Object(
  {
    sequence: Type.Integer({ minimum: 1, maximum: 999_999_999_999 }),
    at: Type.String({ description: "RFC 3339, UTC" }),
    actor: Type.String({ description: "An operator's `sub`, or control-plane" }),
    action: Type.String({ description: "Like `POST /v1/orgs`, before it is done, or `create succeeded`" }),
    org: Type.Optional(OrgId),
    requestId: Type.Optional(Type.String()),
    job: Type.Optional(Type.String()),
    status: Type.Optional(
      Type.Integer({ description: "With it the entry is of the answer, without it of the request" }),
    ),
    previous: Digest,
    hash: Digest,
  },
  { additionalProperties: false },
);
export type TrailEntry = Static<typeof TrailEntry>;

/** What is known of an entry before it has its place. */
export type TrailEvent = Pick<TrailEntry, "at" | "actor" | "action" | "org" | "requestId" | "job" | "status">;

/** Where a trail ends: to be noted elsewhere, and held against it later. */
export const TrailHead = Type.Object(
  { sequence: Type.Integer({ minimum: 0 }), hash: Digest },
  { additionalProperties: false },
);
export type TrailHead = Static<typeof TrailHead>;

/** Before the first entry. */
export const TRAIL_BEGIN: TrailHead = { sequence: 0, hash: "0".repeat(64) };

/** The entry that an event becomes behind another. */
export function chained(event: TrailEvent, before: TrailHead): TrailEntry {
  const entry = { ...event, sequence: before.sequence + 1, previous: before.hash };
  return { ...entry, hash: hashOf(entry) };
}

/** A trail that is not as it was written; the message says where. */
export class TrailBroken extends Error {
  override name = "TrailBroken";
}

/**
 * Follows entries from a head on, and returns the head they end at. Entries may come from anywhere: one with a member
 * that no hash covers is refused. Throws {@link TrailBroken}.
 */
export function followTrail(entries: Iterable<TrailEntry>, from: TrailHead): TrailHead {
  let head = from;
  for (const each of entries) {
    const expected = head.sequence + 1;
    if (!Value.Check(TrailEntry, each))
      throw new TrailBroken(`entry ${expected} does not have an entry's form`);
    const { hash, ...entry } = each;
    if (entry.sequence !== expected) {
      throw new TrailBroken(`entry ${expected} is missing: ${entry.sequence} stands in its place`);
    }
    if (entry.previous !== head.hash) {
      throw new TrailBroken(`entry ${entry.sequence} does not follow the one before it`);
    }
    if (hashOf(entry) !== hash) throw new TrailBroken(`entry ${entry.sequence} is not what was written`);
    head = { sequence: entry.sequence, hash };
  }
  return head;
}

/** Over the members in one order; one that is absent and one that is null are alike, and neither is a text. */
function hashOf(entry: Omit<TrailEntry, "hash">): string {
  const { sequence, at, actor, action, org, requestId, job, status, previous } = entry;
  const members = [sequence, at, actor, action, org, requestId, job, status, previous];
  const text = JSON.stringify(members.map((member) => member ?? null));
  return createHash("sha256").update(text).digest("hex");
}

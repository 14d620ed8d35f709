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

/** The mount of the internal Vault that holds the trail and nothing else. */
export const TRAIL_MOUNT = "trail";

/**
 * The request header that names the entry a write makes, as {@link headText}. The internal Vault records it in
 * clear in its audit log, which the control plane can add to and cannot rewrite.
 */
export const TRAIL_HEAD_HEADER = "x-strongroom-trail-head";

/** Like `1234:<hash>`. */
export const headText = ({ sequence, hash }: TrailHead): string => `${sequence}:${hash}`;

/** Reads what {@link headText} wrote; undefined for anything else. */
export function parseHead(text: string): TrailHead | undefined {
  const [, sequence, hash] = /^([0-9]{1,12}):([0-9a-f]{64})$/.exec(text) ?? [];
  return sequence === undefined || hash === undefined ? undefined : { sequence: Number(sequence), hash };
}

/** Entries lie in folders of this many, so that no list is long. */
export const TRAIL_FOLDER = 1000;

/** The key of a slot in the mount: `000000001/234` is slot 1234. */
export function slotKey(slot: number): string {
  const folder = String(Math.floor(slot / TRAIL_FOLDER)).padStart(9, "0");
  return `${folder}/${String(slot % TRAIL_FOLDER).padStart(3, "0")}`;
}

/** The entry that an event becomes behind another, in the next slot unless a later one is named. */
export function chained(event: TrailEvent, before: TrailHead, slot = before.sequence + 1): TrailEntry {
  const entry = { ...event, sequence: slot, previous: before.hash };
  return { ...entry, hash: hashOf(entry) };
}

/** A trail that is not as it was written; the message says where. */
export class TrailBroken extends Error {
  override name = "TrailBroken";
}

/** How many slots off the chain are kept by number; of more there is only the count. */
const NAMED_SLOTS = 100;

/**
 * Follows the chain through its slots, one by one. An entry is on the chain if it has the form of one, its hash
 * covers all of it, and it names the hash of the last that was. A slot that holds anything else is passed over:
 * the next entry on the chain names the head from before it. So nobody who can only add slots can stop the chain.
 */
export class TrailFollower {
  /** The last entry on the chain. */
  head: TrailHead;
  /** The slot to look at next. */
  next: number;
  /** Slots that the chain has passed over, the first hundred of them. */
  readonly passed: number[] = [];
  #pending: { slot: number; why: string }[] = [];
  #pendingCount = 0;

  constructor(from: TrailHead) {
    this.head = from;
    this.next = from.sequence + 1;
  }

  /** Looks at what is in the next slot. Returns whether it is on the chain. */
  take(found: unknown): boolean {
    const slot = this.next++;
    const why = this.#whyNot(found, slot);
    if (why !== undefined) {
      this.#pendingCount++;
      if (this.#pending.length < NAMED_SLOTS) this.#pending.push({ slot, why });
      return false;
    }
    this.head = { sequence: slot, hash: (found as TrailEntry).hash };
    for (const { slot } of this.#pending) if (this.passed.length < NAMED_SLOTS) this.passed.push(slot);
    this.#pending = [];
    this.#pendingCount = 0;
    return true;
  }

  /** Why the slot behind the head is not on the chain, if there are slots behind it and none is. */
  get stoppedBy(): string | undefined {
    const more =
      this.#pendingCount > 1 ? `, and none of the ${this.#pendingCount - 1} behind it is either` : "";
    const [first] = this.#pending;
    return first && `${first.why}${more}`;
  }

  #whyNot(found: unknown, slot: number): string | undefined {
    if (!Value.Check(TrailEntry, found)) return `entry ${slot} does not have the form of one`;
    const { hash, ...entry } = found;
    if (entry.sequence !== slot) return `entry ${slot} says that it is entry ${entry.sequence}`;
    if (entry.previous !== this.head.hash) return `entry ${slot} does not follow the one before it`;
    return hashOf(entry) === hash ? undefined : `entry ${slot} is not what was written`;
  }
}

/** Follows entries that have no gap from a head on, and returns the head they end at. Throws {@link TrailBroken}. */
export function followTrail(entries: Iterable<TrailEntry>, from: TrailHead): TrailHead {
  const follower = new TrailFollower(from);
  for (const entry of entries) {
    if (Value.Check(TrailEntry, entry) && entry.sequence !== follower.next) {
      throw new TrailBroken(`entry ${follower.next} is missing: ${entry.sequence} stands in its place`);
    }
    follower.take(entry);
  }
  if (follower.stoppedBy) throw new TrailBroken(follower.stoppedBy);
  return follower.head;
}

/** Over the members in one order; one that is absent and one that is null are alike, and neither is a text. */
function hashOf(entry: Omit<TrailEntry, "hash">): string {
  const { sequence, at, actor, action, org, requestId, job, status, previous } = entry;
  const members = [sequence, at, actor, action, org, requestId, job, status, previous];
  const text = JSON.stringify(members.map((member) => member ?? null));
  return createHash("sha256").update(text).digest("hex");
}

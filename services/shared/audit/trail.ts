import { createHash } from "node:crypto";
import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { OrgId } from "../org.ts";

const Digest = Type.String({ pattern: "^[0-9a-f]{64}$" });

/**
 * One request to the control plane, or one of its actions. `hash` covers all other members, and `previous` is the hash
 * of the entry before, so that changing one entry changes all that follow.
 */
export const TrailEntry = Type.Object(
  {
    sequence: Type.Integer({ minimum: 1, maximum: 999_999_999_999 }),
    at: Type.String({ description: "RFC 3339, UTC" }),
    actor: Type.String({ description: "An operator's `sub`, or control-plane" }),
    action: Type.String({
      description:
        "A request before it is carried out, such as `POST /v1/orgs`, or a result, such as `create succeeded`",
    }),
    org: Type.Optional(OrgId),
    requestId: Type.Optional(Type.String()),
    job: Type.Optional(Type.String()),
    status: Type.Optional(
      Type.Integer({
        description: "HTTP status. Present if the entry records the answer, absent if it records the request",
      }),
    ),
    previous: Digest,
    hash: Digest,
  },
  { additionalProperties: false },
);
export type TrailEntry = Static<typeof TrailEntry>;

/** An entry before it is placed in the chain. */
export type TrailEvent = Pick<TrailEntry, "at" | "actor" | "action" | "org" | "requestId" | "job" | "status">;

/** The end of a trail, to be stored elsewhere and compared with the trail later. */
export const TrailHead = Type.Object(
  { sequence: Type.Integer({ minimum: 0 }), hash: Digest },
  { additionalProperties: false },
);
export type TrailHead = Static<typeof TrailHead>;

/** The head of an empty trail. */
export const TRAIL_BEGIN: TrailHead = { sequence: 0, hash: "0".repeat(64) };

/** The internal Vault's mount for the trail alone. */
export const TRAIL_MOUNT = "trail";

/**
 * The request header that names the entry that a write creates, as {@link headText}. The internal Vault records it in
 * clear text in its audit log, which the control plane can append to but not rewrite.
 */
export const TRAIL_HEAD_HEADER = "x-strongroom-trail-head";

/** A head as text, such as `1234:<hash>`. */
export const headText = ({ sequence, hash }: TrailHead): string => `${sequence}:${hash}`;

/** Parses the output of {@link headText}; undefined for any other text. */
export function parseHead(text: string): TrailHead | undefined {
  const [, sequence, hash] = /^([0-9]{1,12}):([0-9a-f]{64})$/.exec(text) ?? [];
  return sequence === undefined || hash === undefined ? undefined : { sequence: Number(sequence), hash };
}

/** Number of entries in a folder, which bounds the length of each list. */
export const TRAIL_FOLDER = 1000;

/** The key of a slot in the mount: `000000001/234` is slot 1234. */
export function slotKey(slot: number): string {
  const folder = String(Math.floor(slot / TRAIL_FOLDER)).padStart(9, "0");
  return `${folder}/${String(slot % TRAIL_FOLDER).padStart(3, "0")}`;
}

/** The entry that chains an event to the one before, in the next slot unless a later one is given. */
export function chained(event: TrailEvent, before: TrailHead, slot = before.sequence + 1): TrailEntry {
  const entry = { ...event, sequence: slot, previous: before.hash };
  return { ...entry, hash: hashOf(entry) };
}

/** The trail's chain is broken; the message says where. */
export class TrailBroken extends Error {
  override name = "TrailBroken";
}

/** Maximum number of slots off the chain that are listed; further ones are only counted. */
const NAMED_SLOTS = 100;

/**
 * Follows the chain through its slots, one by one. An entry is on the chain if its form and hash are valid and it names
 * the hash of the last entry on the chain. Any other slot is skipped: the next entry on the chain names the head before
 * it. So an attacker who can only add slots cannot block the chain.
 */
export class TrailFollower {
  /** The last entry on the chain. */
  head: TrailHead;
  /** The slot to examine next. */
  next: number;
  /** Slots that the chain has skipped, at most the first hundred. */
  readonly passed: number[] = [];
  #pending: { slot: number; why: string }[] = [];
  #pendingCount = 0;

  constructor(from: TrailHead) {
    this.head = from;
    this.next = from.sequence + 1;
  }

  /** Examines the content of the next slot. Returns whether it is on the chain. */
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

  /** Why the slot after the head is not on the chain, if there are slots after it and none is on the chain. */
  get stoppedBy(): string | undefined {
    const more =
      this.#pendingCount > 1 ? `, and neither is any of the ${this.#pendingCount - 1} after it` : "";
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

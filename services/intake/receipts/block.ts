import { randomUUID } from "node:crypto";
import {
  type Completion,
  chainHash,
  chainStart,
  type Entry,
  type Intent,
  type Receipt,
} from "../../shared/receipts/receipt.ts";
import { type Due, putDue } from "../due/due-items.ts";
import type { Item, Store, Write } from "../store/store.ts";
import {
  type Block,
  blocksPartition,
  bySequence,
  ENTRIES_KEPT_SECONDS,
  type Head,
  headKey,
  type OpenIntent,
  type OpenIntents,
  openPartition,
} from "./records.ts";

/** What is to be added to a chain. */
export type Addition = { intent: Intent } | { of: { sequence: number; id: string }; completion: Completion };

/** A chain as one intake knows it from the store. */
export interface ChainState {
  /** The intake's id, for its open intents. */
  writer: string;
  head: Item<Head> | undefined;
  own: Item<OpenIntents> | undefined;
  /** When what this intake has written is signed, and looked through for open intents; seconds since 1970. */
  due?: { checkpoint: number; unfinished: number };
}

/** One write of a chain, and what it means if it succeeds. */
export interface Plan {
  /** What the intake's open intents have as `write` then. */
  token: string;
  writes: Write[];
  /** By addition; undefined for a completion of what was completed before. */
  receipts: (Receipt | undefined)[];
  /** Additions that did not fit. */
  left: ReadonlySet<number>;
  begun: OpenIntent[];
  next: ChainState;
}

/** The store's ten writes, less block, head, own open intents, and two items that are due. */
const MOST_OTHERS = 5;
const MOST_INTAKES = 1_000;
/** How many a block completes as not sent, beside what is added. */
const MOST_UNANSWERED = 100;
/** Empty open intents are needed only to tell whether a write was carried out. */
const EMPTY_KEPT_SECONDS = 24 * 3600;
/**
 * A checkpoint is signed at the end of the half minute in which something changed, and some seconds, so that intakes
 * whose clocks differ a little do not write after it what it should have.
 */
const CHECKPOINT_EVERY_SECONDS = 30;
const CLOCKS_DIFFER_SECONDS = 8;
/** When intents that have no completion by then are looked for. */
export const UNFINISHED_AFTER_SECONDS = 600;
const UNFINISHED_EVERY_SECONDS = 60;

/**
 * Plans the write that adds to a chain after its head. `held` are the intents that this intake knows to be open: any
 * other of its own on the chain was never answered, and is completed as not sent.
 */
export async function planBlock(
  store: Store,
  org: string,
  state: ChainState,
  additions: readonly Addition[],
  held: ReadonlyMap<number, unknown>,
  now: number,
): Promise<Plan> {
  const start = state.head?.body ?? { sequence: 0, hash: chainStart(org) };
  const at = new Date(now).toISOString();
  const all: Receipt[] = [];
  const credentials: string[] = [];
  let end = start;
  const append = (entry: Entry, credential: string): Receipt => {
    credentials.push(credential);
    end = { sequence: entry.sequence, hash: chainHash(end.hash, entry) };
    const receipt = { entry, hash: end.hash };
    all.push(receipt);
    return receipt;
  };
  const complete = ({ sequence: of, id, credential }: OpenIntent, completion: Completion): Receipt =>
    append({ type: "completion", sequence: end.sequence + 1, at, of, id, ...completion }, credential);

  const own = new Map((state.own?.body.intents ?? []).map((intent) => [intent.sequence, intent]));
  const begun: OpenIntent[] = [];
  const left = new Set<number>();
  for (const [sequence, intent] of own) {
    if (held.has(sequence) || all.length === MOST_UNANSWERED) continue;
    own.delete(sequence);
    complete(intent, NOT_SENT);
  }
  const isOthers = (addition: Addition) => "of" in addition && !own.has(addition.of.sequence);
  const others = additions.some(isOthers) ? await readOthers(store, org, state.writer) : [];
  const touched = new Map<string, Item<OpenIntents>>();

  const receipts = additions.map((addition, index): Receipt | undefined => {
    if ("intent" in addition) {
      const sequence = end.sequence + 1;
      const { id, credential } = addition.intent;
      begun.push({ sequence, id, credential, at: now });
      return append({ type: "intent", sequence, at, ...addition.intent }, credential);
    }
    const { of, completion } = addition;
    const mine = own.get(of.sequence);
    if (mine?.id === of.id) {
      own.delete(of.sequence);
      return complete(mine, completion);
    }
    const isIt = (intent: OpenIntent) => intent.sequence === of.sequence && intent.id === of.id;
    const other = others.find(({ body }) => body.intents.some(isIt));
    const intent = other?.body.intents.find(isIt);
    if (!other || !intent) return undefined;
    if (!touched.has(other.sort) && touched.size === MOST_OTHERS) {
      left.add(index);
      return undefined;
    }
    touched.set(other.sort, other);
    other.body.intents = other.body.intents.filter((each) => each !== intent);
    return complete(intent, completion);
  });
  for (const intent of begun) own.set(intent.sequence, intent);

  const token = randomUUID();
  const seconds = Math.floor(now / 1000);
  const ownBody: OpenIntents = { aliveAt: now, write: token, intents: [...own.values()] };
  const ownKey = { partition: openPartition(org), sort: state.writer };
  const due = { checkpoint: checkpointAt(seconds), unfinished: unfinishedAt(seconds) };
  const isOpen = own.size > 0;
  const writes: Write[] = [
    { ...ownKey, body: ownBody, expect: state.own?.revision ?? 0, ...expiry(ownBody, seconds) },
  ];
  if (all.length > 0) {
    const body: Block = { previous: start.hash, receipts: all, credentials };
    const sort = bySequence(end.sequence);
    const expiresAt = seconds + ENTRIES_KEPT_SECONDS;
    writes.push(
      { ...headKey(org), body: end, expect: state.head?.revision ?? 0 },
      { partition: blocksPartition(org), sort, body, expect: 0, expiresAt },
      ...[...touched.values()].map(({ partition, sort: writer, body: rest, revision }) => ({
        ...{ partition, sort: writer, body: rest, expect: revision, ...expiry(rest, seconds) },
      })),
    );
    if (state.due?.checkpoint !== due.checkpoint) {
      writes.push(putDue(dueOf("checkpoint", org, due.checkpoint), due.checkpoint));
    }
  }
  if (isOpen && state.due?.unfinished !== due.unfinished) {
    writes.push(putDue(dueOf("unfinished", org, due.unfinished), due.unfinished));
  }
  const isNothing = all.length === 0 && additions.length > 0;
  return {
    ...{ token, writes: isNothing ? [] : writes, receipts, left, begun },
    next: {
      writer: state.writer,
      head:
        all.length === 0
          ? state.head
          : { ...headKey(org), body: end, revision: (state.head?.revision ?? 0) + 1 },
      own: { ...ownKey, body: ownBody, revision: (state.own?.revision ?? 0) + 1 },
      due: {
        checkpoint: all.length > 0 ? due.checkpoint : (state.due?.checkpoint ?? 0),
        unfinished: isOpen ? due.unfinished : (state.due?.unfinished ?? 0),
      },
    },
  };
}

const NOT_SENT: Completion = {
  outcome: "not_sent",
  failure: "receipts_unavailable",
  ...{ sentBytes: 0, receivedBytes: 0, ms: 0, scrubbed: 0 },
};

const expiry = ({ intents }: OpenIntents, seconds: number) =>
  intents.length === 0 ? { expiresAt: seconds + EMPTY_KEPT_SECONDS } : {};

const dueOf = (type: "checkpoint" | "unfinished", org: string, at: number): Due => ({
  ...{ type, org, name: String(at) },
});

const checkpointAt = (seconds: number): number =>
  (Math.floor(seconds / CHECKPOINT_EVERY_SECONDS) + 1) * CHECKPOINT_EVERY_SECONDS + CLOCKS_DIFFER_SECONDS;

/** When intents that were begun at this second are looked for. */
export const unfinishedAt = (seconds: number): number =>
  (Math.floor(seconds / UNFINISHED_EVERY_SECONDS) + 1) * UNFINISHED_EVERY_SECONDS + UNFINISHED_AFTER_SECONDS;

/** The open intents of the organization's other intakes. */
async function readOthers(store: Store, org: string, writer: string): Promise<Item<OpenIntents>[]> {
  const all = await store.query<OpenIntents>(openPartition(org), { limit: MOST_INTAKES });
  return all.filter(({ sort }) => sort !== writer);
}

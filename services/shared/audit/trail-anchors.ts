import {
  headText,
  parseHead,
  slotKey,
  TRAIL_HEAD_HEADER,
  TRAIL_MOUNT,
  type TrailEntry,
  type TrailHead,
} from "./trail.ts";

/** An entry as the internal Vault's audit log saw it made. */
interface Anchor extends TrailHead {
  /** RFC 3339. */
  at: string;
}

interface AuditRecord {
  type?: unknown;
  time?: unknown;
  error?: unknown;
  request?: { path?: unknown; operation?: unknown; headers?: Record<string, unknown> };
}

/**
 * What the internal Vault's audit log tells of the trail: each write that made an entry names it in a header
 * that is recorded in clear. The control plane's login can add to that log and not rewrite it.
 */
export class TrailAnchors {
  readonly #bySlot = new Map<number, Anchor[]>();

  /** `records` are lines of the audit log, parsed, in any order; all but those of made entries are passed over. */
  static async of(
    records: Iterable<Record<string, unknown>> | AsyncIterable<Record<string, unknown>>,
  ): Promise<TrailAnchors> {
    const anchors = new TrailAnchors();
    for await (const record of records) {
      const anchor = anchorOf(record);
      if (!anchor) continue;
      anchors.#bySlot.set(anchor.sequence, [...(anchors.#bySlot.get(anchor.sequence) ?? []), anchor]);
    }
    return anchors;
  }

  /** The lowest and the highest entry that the log tells of. */
  get span(): { from: number; to: number } | undefined {
    const slots = [...this.#bySlot.keys()];
    if (slots.length === 0) return undefined;
    return slots.reduce(({ from, to }, slot) => ({ from: Math.min(from, slot), to: Math.max(to, slot) }), {
      from: Number.POSITIVE_INFINITY,
      to: 0,
    });
  }

  /** How many entries between the lowest and the highest that the log tells of it does not tell of. */
  gaps(entries: Iterable<Pick<TrailEntry, "sequence">>): number {
    const { span } = this;
    let gaps = 0;
    for (const { sequence } of entries) {
      const isWithin = span && sequence > span.from && sequence < span.to;
      if (isWithin && !this.#bySlot.has(sequence)) gaps++;
    }
    return gaps;
  }

  /** What the log saw made and the trail does not hold, one line an entry. `entries` is the whole trail. */
  differences(entries: Iterable<Pick<TrailEntry, "sequence" | "hash">>): string[] {
    const held = new Map<number, string>();
    for (const { sequence, hash } of entries) held.set(sequence, hash);
    return [...this.#bySlot]
      .sort(([a], [b]) => a - b)
      .flatMap(([slot, anchors]) => {
        const hash = held.get(slot);
        const other = anchors.find((anchor) => anchor.hash !== hash);
        if (!other) return [];
        const what = hash === undefined ? "is gone" : "is another now";
        return [`entry ${slot} that was written at ${other.at} ${what} (${headText(other)})`];
      });
  }
}

/** Undefined for what is not the answer to a write that made an entry and named it. */
function anchorOf({ type, time, error, request }: AuditRecord): Anchor | undefined {
  if (type !== "response" || error || request?.operation !== "create") return undefined;
  const header = request.headers?.[TRAIL_HEAD_HEADER];
  const head = Array.isArray(header) ? parseHead(String(header[0])) : undefined;
  if (!head || request.path !== `${TRAIL_MOUNT}/data/${slotKey(head.sequence)}`) return undefined;
  return { ...head, at: String(time) };
}

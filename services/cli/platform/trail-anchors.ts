import {
  headText,
  parseHead,
  slotKey,
  TRAIL_HEAD_HEADER,
  TRAIL_MOUNT,
  type TrailEntry,
  type TrailHead,
} from "../../shared/audit/trail.ts";

/** The creation of an entry in the internal Vault's audit log. */
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
 * The trail's entries in the internal Vault's audit log: each write of an entry names it in a header that is
 * logged in clear text. The control plane's login can add to that log but not rewrite it.
 */
export class TrailAnchors {
  readonly #bySlot = new Map<number, Anchor[]>();

  /** `records` are parsed lines of the audit log, in any order; all but successful writes of entries are skipped. */
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

  /** The lowest and the highest entry in the log. */
  get span(): { from: number; to: number } | undefined {
    const slots = [...this.#bySlot.keys()];
    if (slots.length === 0) return undefined;
    return slots.reduce(({ from, to }, slot) => ({ from: Math.min(from, slot), to: Math.max(to, slot) }), {
      from: Number.POSITIVE_INFINITY,
      to: 0,
    });
  }

  /** The number of entries missing in the log between its lowest and its highest. */
  gaps(entries: Iterable<Pick<TrailEntry, "sequence">>): number {
    const { span } = this;
    let gaps = 0;
    for (const { sequence } of entries) {
      const isWithin = span && sequence > span.from && sequence < span.to;
      if (isWithin && !this.#bySlot.has(sequence)) gaps++;
    }
    return gaps;
  }

  /** Entries in the log that the trail lacks or has changed, one line each. `entries` is the whole trail. */
  differences(entries: Iterable<Pick<TrailEntry, "sequence" | "hash">>): string[] {
    const held = new Map<number, string>();
    for (const { sequence, hash } of entries) held.set(sequence, hash);
    return [...this.#bySlot]
      .sort(([a], [b]) => a - b)
      .flatMap(([slot, anchors]) => {
        const hash = held.get(slot);
        const other = anchors.find((anchor) => anchor.hash !== hash);
        if (!other) return [];
        const what = hash === undefined ? "is missing" : "was replaced";
        return [`entry ${slot}, written at ${other.at}, ${what} (${headText(other)})`];
      });
  }
}

/** Undefined unless the record is the response to a successful write that created an entry and named it. */
function anchorOf({ type, time, error, request }: AuditRecord): Anchor | undefined {
  if (type !== "response" || error || request?.operation !== "create") return undefined;
  const header = request.headers?.[TRAIL_HEAD_HEADER];
  const head = Array.isArray(header) ? parseHead(String(header[0])) : undefined;
  if (!head || request.path !== `${TRAIL_MOUNT}/data/${slotKey(head.sequence)}`) return undefined;
  return { ...head, at: String(time) };
}

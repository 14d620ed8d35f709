import { type Needle, needlesOf } from "./needles.ts";
import { type View, viewsOf } from "./views.ts";

/** What stands where a credential was. */
export const REMOVED = "[removed]";

const BASE64_CHARACTER = /[A-Za-z0-9+/_-]/;
const PADDING = "=".charCodeAt(0);

/** From here, inclusive, to there, exclusive. */
type Range = [start: number, end: number];

/**
 * Removes secrets from an answer, in every form of `needlesOf` and every view of `viewsOf`. It is a safety net for
 * services that echo what they were sent: a service that wants to return the credential can always disguise it.
 */
export class Scrubber {
  readonly #needles: Needle[];
  #hits = 0;

  /** The secrets' bytes are copied, and zeroed by {@link forget}. */
  constructor(secrets: Iterable<Uint8Array>) {
    this.#needles = needlesOf(secrets);
  }

  /** How often a secret was found and removed. */
  get hits(): number {
    return this.#hits;
  }

  /** The text without the secrets. It must be whole: a secret across the border of two texts is found in neither. */
  scrub(text: Buffer): Buffer {
    const ranges = merged(viewsOf(text).flatMap((view) => this.#find(view)));
    if (ranges.length === 0) return text;
    this.#hits += ranges.length;
    const kept: Buffer[] = [];
    let at = 0;
    for (const [start, end] of ranges) {
      kept.push(text.subarray(at, start), Buffer.from(REMOVED));
      at = end;
    }
    return Buffer.concat([...kept, text.subarray(at)]);
  }

  /** The same for a text whose characters are bytes, as those of header lines are. */
  scrubText(text: string): string {
    return this.scrub(Buffer.from(text, "latin1")).toString("latin1");
  }

  forget(): void {
    for (const { bytes } of this.#needles) bytes.fill(0);
    this.#needles.length = 0;
  }

  #find(view: View): Range[] {
    const ranges: Range[] = [];
    let lower: Buffer | undefined;
    for (const needle of this.#needles) {
      if (needle.anyCase) lower ??= Buffer.from(view.bytes.toString("latin1").toLowerCase(), "latin1");
      const { bytes } = needle.anyCase && lower ? { bytes: lower } : view;
      for (let at = bytes.indexOf(needle.bytes); at >= 0; at = bytes.indexOf(needle.bytes, at + 1)) {
        ranges.push(inOriginal(view, widened([at, at + needle.bytes.length], needle, view.bytes)));
      }
    }
    return ranges;
  }
}

const inOriginal = ({ origin }: View, [start, end]: Range): Range =>
  origin ? [origin.from[start] as number, origin.to[end - 1] as number] : [start, end];

/** A range together with the base64 characters at its edges that also hold bits of the secret. */
function widened([start, end]: Range, { edges }: Needle, text: Buffer): Range {
  if (!edges) return [start, end];
  const isPart = (at: number) => BASE64_CHARACTER.test(String.fromCharCode(text[at] ?? 0));
  const from = edges.before && start > 0 && isPart(start - 1) ? start - 1 : start;
  if (!edges.after || !isPart(end)) return [from, end];
  let to = end + 1;
  while (to < end + 3 && text[to] === PADDING) to++;
  return [from, to];
}

function merged(ranges: Range[]): Range[] {
  const result: Range[] = [];
  for (const [start, end] of ranges.sort((one, other) => one[0] - other[0])) {
    const last = result.at(-1);
    if (last && start < last[1]) last[1] = Math.max(last[1], end);
    else result.push([start, end]);
  }
  return result;
}

import type { Effort } from "./effort.ts";
import { backslash, entity, escapeAround, form, isBreak, lineBreak, percent } from "./escapes.ts";
import type { Needle } from "./needles.ts";
import type { NeedleSearch } from "./search.ts";
import { decode, type Place, type View } from "./views.ts";

/** From here, inclusive, to there, exclusive. */
export type Range = [start: number, end: number];

export interface Found {
  /** Where secrets are, in ascending order, apart from each other. */
  ranges: Range[];
  /** Up to here nothing that follows the text can change what is found; no range lies across it. */
  decided: number;
}

const PLUS = "+".charCodeAt(0);
const SPACE = " ".charCodeAt(0);
const PADDING = "=".charCodeAt(0);
const IS_BASE64 = Uint8Array.from({ length: 256 }, (_, byte) =>
  /[A-Za-z0-9+/_-]/.test(String.fromCharCode(byte)) ? 1 : 0,
);
const isBase64 = (byte: number | undefined): boolean => byte !== undefined && IS_BASE64[byte] === 1;
/** Behind a needle, so many bytes may belong to its last base64 character: itself, and padding. One more before it. */
const EDGE_AFTER = 3;

/** Finds secrets in a text as it is and as each decoder reads it. */
export function findSecrets(text: Buffer, search: NeedleSearch, place: Place, effort: Effort): Found {
  const ranges: Range[] = [];
  for (let from = 0, { before } = place; ; before = undefined) {
    const found = findInOne(text.subarray(from), search, { ...place, before }, effort);
    const afresh = found.ranges.findIndex((range) => isReadAfresh(text.subarray(from), range));
    for (const [start, end] of afresh < 0 ? found.ranges : found.ranges.slice(0, afresh + 1)) {
      ranges.push([from + start, from + end]);
    }
    if (afresh < 0) return { ranges, decided: from + found.decided };
    from += (found.ranges[afresh] as Range)[1];
    effort.spend((text.length - from) / 8);
  }
}

/** Whether what follows a range is read in another way once the range is removed, since an escape began within it. */
const isReadAfresh = (text: Buffer, [start, end]: Range): boolean =>
  escapeAround(text, end, start) !== end || (isBreak(text[end - 1]) && isBreak(text[end]));

function findInOne(text: Buffer, search: NeedleSearch, place: Place, effort: Effort): Found {
  const ranges: Range[] = [];
  let decided = text.length;
  const look = (view: View) => {
    search.find(view.bytes, effort, (needle, at) => {
      const { range, isDecided } = widened(view, needle, at);
      ranges.push(range);
      if (!isDecided) decided = Math.min(decided, range[0]);
    });
    if (view.end !== undefined) decided = Math.min(decided, undecided(view, text.length, search, effort));
  };

  look(plain(text, place.isLast ? undefined : text.length));
  const reach = search.longest + 1 + EDGE_AFTER;
  for (const escaping of escapingsOf(text, search)) {
    const end = decode(text, escaping, reach, place, look);
    if (!escaping.isOptional) decided = Math.min(decided, end);
  }
  const apart = merged(ranges);
  if (place.isLast) return { ranges: apart, decided };
  for (;;) {
    const around = escapeAround(text, decided);
    const across = apart.findLast(([start, end]) => start < around && end > around);
    const earlier = across ? across[0] : around;
    if (earlier === decided) break;
    decided = earlier;
  }
  return { ranges: apart.filter(([, end]) => end <= decided), decided };
}

function escapingsOf(text: Buffer, search: NeedleSearch) {
  // A plus read as a space matters only to what contains spaces.
  const isForm = search.needles.some(({ bytes }) => bytes.includes(SPACE)) && text.includes(PLUS);
  return [isForm ? [form, percent] : [percent], backslash, entity, lineBreak].flat();
}

const plain = (text: Buffer, end: number | undefined): View => ({
  bytes: text,
  from: (at) => at,
  to: (at) => at + 1,
  end,
});

/**
 * Where a needle is in the text, with the base64 characters at its edges that also hold bits of the secret; and whether that
 * stays so, whatever follows.
 */
function widened(
  view: View,
  { bytes: { length }, edges }: Needle,
  at: number,
): { range: Range; isDecided: boolean } {
  const { bytes } = view;
  const start = edges?.before && isJoined(view, at) ? at - 1 : at;
  const end = at + length;
  let [to, most] = [end, end];
  if (edges?.after && (end === bytes.length || isBase64(bytes[end]))) most = end + EDGE_AFTER;
  if (end < most && end < bytes.length) for (to++; to < most && bytes[to] === PADDING; ) to++;
  const isDecided = view.end === undefined || to === most || to < bytes.length;
  return { range: [view.from(start), view.to(to - 1)], isDecided };
}

/** From where on the end of a view may be the beginning of a secret; the text's length if nothing may. */
function undecided(view: View, end: number, search: NeedleSearch, effort: Effort): number {
  const at = search.beginning(view.bytes, effort);
  if (isJoined(view, at)) return view.from(at - 1);
  return at < view.bytes.length ? view.from(at) : end;
}

/** Whether a base64 character is before a place, and nothing is between. */
function isJoined({ bytes, from, to, end }: View, at: number): boolean {
  return at > 0 && isBase64(bytes[at - 1]) && to(at - 1) === (at < bytes.length ? from(at) : end);
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

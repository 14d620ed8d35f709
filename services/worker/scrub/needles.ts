/** The shortest credential, in bytes, that can be searched for without damage to honest answers. The intake refuses shorter ones. */
export const MIN_SEARCHABLE_BYTES = 8;

/** A text to be found, in one of the forms that a service may give a secret. */
export interface Needle {
  bytes: Buffer;
  /** Its letters may be of either case. */
  anyCase?: true;
  /** Whether the base64 characters before and after it hold bits of the secret, too. */
  edges?: { before: boolean; after: boolean };
}

/**
 * All forms of the secrets that are searched for: in clear (UTF-8 and UTF-16), base64 and base64url at each of the
 * three alignments, and hex. Secrets under {@link MIN_SEARCHABLE_BYTES} are left out.
 */
export function needlesOf(secrets: Iterable<Uint8Array>): Needle[] {
  const needles = new Map<string, Needle>();
  for (const secret of secrets) {
    if (secret.byteLength < MIN_SEARCHABLE_BYTES) continue;
    const copy = Buffer.from(secret);
    for (const needle of formsOf(copy)) {
      const name = `${needle.anyCase ?? ""}${needle.bytes.toString("latin1")}`;
      if (needles.has(name)) needle.bytes.fill(0);
      else needles.set(name, needle);
    }
    copy.fill(0);
  }
  return [...needles.values()];
}

function* formsOf(secret: Buffer): Generator<Needle> {
  yield { bytes: Buffer.from(secret) };
  yield { bytes: Buffer.from(secret.toString("hex"), "latin1"), anyCase: true };
  const wide = Buffer.from(secret.toString("utf8"), "utf16le");
  yield { bytes: wide };
  yield { bytes: Buffer.from(wide).swap16() };
  for (const alignment of [0, 1, 2]) {
    const { text, edges } = base64Core(secret, alignment);
    yield { bytes: Buffer.from(text, "latin1"), edges };
    const url = text.replaceAll("+", "-").replaceAll("/", "_");
    yield { bytes: Buffer.from(url, "latin1"), edges };
  }
}

/**
 * The characters that base64 makes of the secret alone, when it begins `alignment` bytes after a group of three; the
 * characters at the edges also depend on what stands around it.
 */
function base64Core(secret: Buffer, alignment: number): { text: string; edges: Required<Needle>["edges"] } {
  const aligned = Buffer.concat([Buffer.alloc(alignment), secret]);
  const text = aligned.toString("base64");
  aligned.fill(0);
  const first = Math.ceil((alignment * 8) / 6);
  const end = Math.floor(((alignment + secret.length) * 8) / 6);
  const isPartial = ((alignment + secret.length) * 8) % 6 !== 0;
  return { text: text.slice(first, end), edges: { before: alignment !== 0, after: isPartial } };
}

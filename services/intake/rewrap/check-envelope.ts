import { contextMembers, type EncryptionContext } from "../../shared/envelope/context.ts";

/** Format 2 of the AWS Encryption SDK's messages, and the suite 0x0478; see shared/envelope/envelope.ts. */
const BEGINNING = Buffer.from([0x02, 0x04, 0x78]);
const MESSAGE_ID_BYTES = 32;
/** The longest value's envelope takes less. */
const MOST_BYTES = 75_000;

/**
 * Whether bytes are by their length and the head in clear an envelope for this context. Nobody can tell here whether it
 * opens; but by a worker's mistake no value in clear comes into the store, and no credential in the place of another.
 */
export function isEnvelopeFor(context: EncryptionContext, bytes: Buffer): boolean {
  if (bytes.length > MOST_BYTES || !bytes.subarray(0, BEGINNING.length).equals(BEGINNING)) return false;
  try {
    const found = readContext(bytes, BEGINNING.length + MESSAGE_ID_BYTES);
    const expected = Object.entries(contextMembers(context));
    return found.size === expected.length && expected.every(([name, value]) => found.get(name) === value);
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

/** The context in clear: its length, the number of members, and names and values with their lengths. */
function readContext(bytes: Buffer, start: number): Map<string, string> {
  let at = start + 2;
  const number = () => {
    at += 2;
    return bytes.readUInt16BE(at - 2);
  };
  const text = () => {
    const length = number();
    at += length;
    return bytes.toString("utf8", at - length, at);
  };
  const members = new Map<string, string>();
  for (let left = number(); left > 0; left--) members.set(text(), text());
  return members;
}

import { type Prepared, searchable, type Unprepared, unusable, withHeaders } from "./prepared.ts";

/** RFC 7617 allows anything but control characters; destinations take at most some KiB. */
const MOST_BYTES = 4_096;

/** Sends the value as the password of a user. */
export function injectBasic(user: string, value: Uint8Array, { path, headers }: Unprepared): Prepared {
  searchable(value);
  if (value.length > MOST_BYTES || value.some((byte) => byte < 0x20 || byte === 0x7f)) {
    throw unusable("the credential cannot be a password");
  }
  const pair = Buffer.concat([Buffer.from(`${user}:`), value]);
  const encoded = pair.toString("base64");
  return {
    path,
    headers: withHeaders(headers, [["Authorization", `Basic ${encoded}`]]),
    secrets: [value, pair, Buffer.from(encoded, "latin1")],
  };
}

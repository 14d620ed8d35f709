import {
  checkInjectable,
  formatted,
  type Prepared,
  printable,
  type Unprepared,
  withHeaders,
} from "./prepared.ts";

/** Sends the value in a header. Whoever finds the value finds the header's, too: it has the value in it as it is. */
export function injectHeader(
  { header, format }: { header: string; format: string },
  value: Uint8Array,
  { path, headers }: Unprepared,
): Prepared {
  checkInjectable(header);
  const text = formatted(format, printable(value));
  return { path, headers: withHeaders(headers, [[header, text]]), secrets: [value, ...basicParts(text)] };
}

/** The name and password in a header value of the scheme Basic, together and the password alone. */
function basicParts(text: string): Uint8Array[] {
  const [, encoded] = /^Basic +([A-Za-z0-9+/]+={0,2})$/i.exec(text) ?? [];
  if (encoded === undefined) return [];
  const pair = Buffer.from(encoded, "base64");
  const colon = pair.indexOf(":");
  return colon < 0 ? [pair] : [pair, pair.subarray(colon + 1)];
}

import { StringDecoder } from "node:string_decoder";
import { type Static, Type } from "typebox";
import { Time } from "../api/time.ts";
import { BrokenReceipts } from "./broken.ts";
import { Digest, type Receipt } from "./receipt.ts";

const closed = { additionalProperties: false };
/** Where a chain stands: a sequence (0 at its beginning) and the hash of that entry. */
export const ChainPosition = Type.Object({ sequence: Type.Integer({ minimum: 0 }), hash: Digest }, closed);
export type ChainPosition = Static<typeof ChainPosition>;

/** The first line of an export: whose chain it is, when it was read, and what the first entry is chained to. */
export const ChainLine = Type.Object(
  { chain: Type.Object({ org: Type.String(), at: Time, after: ChainPosition }, closed) },
  closed,
);
/** A checkpoint's JWS, right after the entry that it is about, or before all entries if that is no longer kept. */
export const CheckpointLine = Type.Object({ checkpoint: Type.String({ maxLength: 4096 }) }, closed);
/** The last line. An export without it is not whole. */
export const EndLine = Type.Object({ end: ChainPosition }, closed);

/** A line of an export, which is JSON lines (application/x-ndjson): the chain, entries with checkpoints, the end. */
export type ExportLine =
  | Static<typeof ChainLine>
  | Receipt
  | Static<typeof CheckpointLine>
  | Static<typeof EndLine>;
export const EXPORT_TYPE = "application/x-ndjson";

/** Sent at once. */
const PIECE_CHARACTERS = 32 * 1024;

/** An export's lines as they are sent. */
export async function* writeLines(lines: AsyncIterable<ExportLine>): AsyncGenerator<string> {
  let piece = "";
  for await (const line of lines) {
    piece += `${JSON.stringify(line)}\n`;
    if (piece.length < PIECE_CHARACTERS) continue;
    yield piece;
    piece = "";
  }
  if (piece !== "") yield piece;
}

/** More than the longest entry. */
const MOST_LINE_CHARACTERS = 256 * 1024;

/**
 * Reads JSON lines, one at a time. Throws BrokenReceipts for a line that is no JSON, is longer than any of an export, or
 * has no line break after it.
 */
export async function* readLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<unknown> {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  let number = 0;
  const parse = (text: string): unknown => {
    number++;
    if (text.length > MOST_LINE_CHARACTERS) throw tooLong(number);
    try {
      return JSON.parse(text);
    } catch {
      throw new BrokenReceipts("malformed", `line ${number} is not JSON`);
    }
  };
  for await (const chunk of chunks) {
    const lines = (rest + decoder.write(Buffer.from(chunk))).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) yield parse(line);
    if (rest.length > MOST_LINE_CHARACTERS) throw tooLong(number + 1);
  }
  if (rest !== "") throw new BrokenReceipts("incomplete", `line ${number + 1} is cut off`);
}

const tooLong = (number: number) =>
  new BrokenReceipts("malformed", `line ${number} is longer than any of an export`);

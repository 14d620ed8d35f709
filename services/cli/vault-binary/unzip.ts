import { createReadStream, createWriteStream } from "node:fs";
import { type FileHandle, open, rm } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { createInflateRaw } from "node:zlib";

const END_OF_DIRECTORY = 0x06054b50;
const DIRECTORY_ENTRY = 0x02014b50;
const LOCAL_HEADER = 0x04034b50;
const LONGEST_END = 22 + 0xffff;
const LARGEST_DIRECTORY = 64 * 1024;
const STORED = 0;
const DEFLATED = 8;

/**
 * Unpacks one member of a zip archive into a new file, whole or not at all. Supports what release archives use: one
 * volume, members stored or deflated, no zip64. Anything else is an error, and so is a member larger than `limit`
 * bytes or of another length than the archive says. It ignores the archive's own checksums: verify the whole
 * archive first.
 */
export async function unzipMember(
  archive: string,
  member: string,
  target: string,
  limit: number,
): Promise<void> {
  const file = await open(archive, "r");
  try {
    const entry = await findEntry(file, member);
    if (entry.size > limit) throw new Error(`${member} is larger than ${limit} bytes`);
    const local = await read(file, entry.offset, 30);
    if (local.readUInt32LE(0) !== LOCAL_HEADER)
      throw new Error("the archive is corrupt: a member's header is missing");
    const start = entry.offset + 30 + local.readUInt16LE(26) + local.readUInt16LE(28);

    let length = 0;
    const counted = async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        length += chunk.length;
        if (length > entry.size) throw new Error(`${member} is longer than the archive says`);
        yield chunk;
      }
    };
    const packed = createReadStream(archive, { start, end: start + entry.packed - 1 });
    const unpacked = createWriteStream(target, { flags: "wx", mode: 0o755, flush: true });
    try {
      if (entry.method === DEFLATED) await pipeline(packed, createInflateRaw(), counted, unpacked);
      else await pipeline(packed, counted, unpacked);
      if (length !== entry.size) throw new Error(`${member} is shorter than the archive says`);
    } catch (error) {
      await rm(target, { force: true });
      throw error;
    }
  } finally {
    await file.close();
  }
}

interface Entry {
  method: number;
  packed: number;
  size: number;
  offset: number;
}

async function findEntry(file: FileHandle, member: string): Promise<Entry> {
  const { size } = await file.stat();
  const tail = await read(file, Math.max(0, size - LONGEST_END), Math.min(size, LONGEST_END));
  let end = tail.length - 22;
  while (end >= 0 && tail.readUInt32LE(end) !== END_OF_DIRECTORY) end--;
  if (end < 0) throw new Error("not a zip archive, or truncated");

  const length = tail.readUInt32LE(end + 12);
  if (length > LARGEST_DIRECTORY) throw new Error("the archive's directory is too large");
  const directory = await read(file, tail.readUInt32LE(end + 16), length);
  for (let at = 0; at + 46 <= length && directory.readUInt32LE(at) === DIRECTORY_ENTRY; ) {
    const nameEnd = at + 46 + directory.readUInt16LE(at + 28);
    if (directory.toString("utf8", at + 46, nameEnd) === member) {
      const entry = {
        method: directory.readUInt16LE(at + 10),
        packed: directory.readUInt32LE(at + 20),
        size: directory.readUInt32LE(at + 24),
        offset: directory.readUInt32LE(at + 42),
      };
      const encrypted = (directory.readUInt16LE(at + 8) & 1) === 1;
      if (entry.packed === 0 || encrypted || (entry.method !== STORED && entry.method !== DEFLATED)) {
        throw new Error(`${member} uses an unsupported compression method`);
      }
      return entry;
    }
    at = nameEnd + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
  }
  throw new Error(`the archive does not contain ${member}`);
}

async function read(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await file.read(buffer, 0, length, position);
  if (bytesRead !== length) throw new Error("the archive is truncated");
  return buffer;
}

/**
 * The stream between intake and broker: frames of a type (one byte), a length (four bytes, big endian) and so many bytes.
 * A stream that ends without its last frame was broken off, which HTTP alone does not tell.
 *
 * Intake to broker: `call`, `go`, then `data` and `end` if there is a body. Broker to intake: `head`, `data`, `end`; or
 * `failed` at any time.
 */
const FRAMES = { call: 1, go: 2, head: 3, data: 4, end: 5, failed: 6 } as const;
export type FrameType = keyof typeof FRAMES;

export interface Frame {
  type: FrameType;
  payload: Buffer;
}

const HEAD_BYTES = 5;
const MOST_DATA_BYTES = 256 * 1024;
/** A call has a sealed credential of up to 64 KiB, a policy and a token. */
const MOST_JSON_BYTES = 512 * 1024;
const TYPES = new Map(Object.entries(FRAMES).map(([name, byte]) => [byte as number, name as FrameType]));

/** The stream is none of frames. */
export class FrameError extends Error {
  override name = "FrameError";
}

/** A frame of JSON. */
export function jsonFrame(type: Exclude<FrameType, "data">, value: unknown): Buffer {
  const text = Buffer.from(JSON.stringify(value));
  return Buffer.concat([head(type, text.length), text]);
}

/** Frames of data: heads and the chunk itself, which is not copied. */
export function* dataFrames(chunk: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < chunk.byteLength; at += MOST_DATA_BYTES) {
    const piece = chunk.subarray(at, at + MOST_DATA_BYTES);
    yield head("data", piece.byteLength);
    yield piece;
  }
}

function head(type: FrameType, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES);
  bytes.writeUInt8(FRAMES[type], 0);
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

/** Takes a stream's chunks and returns the frames that they complete; data as it comes, so one frame may be several. */
export class FrameParser {
  #held: Buffer = Buffer.alloc(0);
  /** Of the data frame that is being read. */
  #dataLeft = 0;

  /** Throws {@link FrameError} for what is none of frames. */
  *push(chunk: Uint8Array): Generator<Frame> {
    let bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (this.#held.length > 0) {
      bytes = Buffer.concat([this.#held, bytes]);
      this.#held = Buffer.alloc(0);
    }
    let at = 0;
    while (at < bytes.length) {
      if (this.#dataLeft > 0) {
        const payload = bytes.subarray(at, at + this.#dataLeft);
        this.#dataLeft -= payload.length;
        at += payload.length;
        yield { type: "data", payload };
        continue;
      }
      if (bytes.length - at < HEAD_BYTES) break;
      const type = TYPES.get(bytes.readUInt8(at));
      const length = bytes.readUInt32BE(at + 1);
      if (!type || length > (type === "data" ? MOST_DATA_BYTES : MOST_JSON_BYTES)) {
        throw new FrameError("the stream is none of frames");
      }
      if (type === "data") {
        this.#dataLeft = length;
        at += HEAD_BYTES;
        continue;
      }
      if (bytes.length - at < HEAD_BYTES + length) break;
      yield { type, payload: bytes.subarray(at + HEAD_BYTES, at + HEAD_BYTES + length) };
      at += HEAD_BYTES + length;
    }
    this.#held = bytes.subarray(at);
  }

  /** Throws {@link FrameError} unless the stream ended between two frames. */
  end(): void {
    if (this.#held.length > 0 || this.#dataLeft > 0) throw new FrameError("the stream ended within a frame");
  }
}

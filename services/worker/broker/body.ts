import { createHash, hash } from "node:crypto";
import type { UseCall } from "../../shared/broker/calls.ts";
import type { Exchanged } from "../outbound/stream.ts";
import type { CallStream } from "./call-stream.ts";
import { UseFailure } from "./use-failure.ts";

/** The caller may pause for so long while sending a body. */
const IDLE_MS = 60_000;
/** A body that is signed, or compared with its receipt, is read before it is sent. */
const MOST_WHOLE_BYTES = 1_048_576;

type Announced = UseCall["request"]["body"];

/** The pieces of a call's body. Throws UseFailure `malformed` unless it is as long as was announced. */
async function* pieces(stream: CallStream, announced: Announced): AsyncGenerator<Buffer> {
  if (announced === "none") return;
  let left = announced === "chunked" ? Number.POSITIVE_INFINITY : announced.bytes;
  for (;;) {
    const frame = await stream.next(IDLE_MS);
    if (frame?.type === "end") break;
    if (frame?.type !== "data") throw new UseFailure("malformed", "the body was broken off");
    left -= frame.payload.length;
    if (left < 0) throw new UseFailure("malformed", "the body is longer than was announced");
    yield frame.payload;
  }
  if (left > 0 && announced !== "chunked") {
    throw new UseFailure("malformed", "the body is shorter than was announced");
  }
}

/** A whole body and its digest, before it is sent. Throws UseFailure, `not_allowed` if it is longer than 1 MiB. */
export async function readBody(
  stream: CallStream,
  announced: Announced,
): Promise<{ bytes: Buffer; digest: string }> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of pieces(stream, announced)) {
    size += chunk.length;
    if (size > MOST_WHOLE_BYTES) {
      const detail = `a body that is signed has at most ${MOST_WHOLE_BYTES} bytes`;
      throw new UseFailure("not_allowed", detail, { part: "body" });
    }
    chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks);
  return { bytes, digest: hash("sha256", bytes, "base64url") };
}

/** Sends a body as it comes, ends the request, and returns the digest. Throws UseFailure and JobFailure. */
export async function passBody(stream: CallStream, announced: Announced, to: Exchanged): Promise<string> {
  const digest = createHash("sha256");
  for await (const chunk of pieces(stream, announced)) {
    digest.update(chunk);
    await to.write(chunk);
  }
  to.end();
  return digest.digest("base64url");
}

import { type Readable, Transform } from "node:stream";
import type { FastifyReply } from "fastify";
import { StrongroomError } from "../../shared/errors.ts";

/** A login's body is a JWT and little more, and its sender is unauthenticated. */
const MAX_LOGIN_BYTES = 16 * 1024;

/** Refuses a login by its Content-Length, before its body is read. Throws `body_too_large`. */
export function checkLoginLength(contentLength: string | undefined): void {
  if (Number(contentLength ?? 0) > MAX_LOGIN_BYTES) throw tooLong();
}

/**
 * Bounds the body of a login sent in chunks: it fails with `body_too_large` as soon as it is too long. The rest is not
 * read, so the connection has to end with the response.
 */
export function boundedLogin(body: Readable, reply: FastifyReply): Readable {
  let size = 0;
  const bounded = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      size += chunk.length;
      if (size <= MAX_LOGIN_BYTES) return done(null, chunk);
      reply.header("connection", "close");
      done(tooLong());
    },
  });
  // Not `pipeline`, which would end the connection before the response.
  body.once("error", (error) => bounded.destroy(error));
  return body.pipe(bounded);
}

const tooLong = () => new StrongroomError("body_too_large", "A login's body must not exceed 16 KiB.");

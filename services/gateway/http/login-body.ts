import { type Readable, Transform } from "node:stream";
import type { FastifyReply } from "fastify";
import { StrongroomError } from "../../shared/errors.ts";

/** A login's body is a JWT and little more; strangers may send it. */
const MAX_LOGIN_BYTES = 16 * 1024;

/** Refuses a login whose length is announced before its body is read. Throws `body_too_large`. */
export function checkLoginLength(contentLength: string | undefined): void {
  if (Number(contentLength ?? 0) > MAX_LOGIN_BYTES) throw tooLong();
}

/**
 * The body of a login that comes in chunks, as it is read: it fails with `body_too_large` as soon as it is too
 * long. The rest is not read, so the connection has to end with the answer.
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
  // Not by a pipeline, which would end the connection before the answer.
  body.once("error", (error) => bounded.destroy(error));
  return body.pipe(bounded);
}

const tooLong = () => new StrongroomError("body_too_large", "The body of a login is at most 16 KiB.");

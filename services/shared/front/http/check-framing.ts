import type { IncomingMessage } from "node:http";
import { StrongroomError } from "../../errors.ts";

/**
 * Refuses requests that Node's parser accepts and other parsers may frame differently: no version (HTTP/0.9 has no
 * headers), a major version other than 1, chunks in HTTP/1.0, and any transfer coding but `chunked` alone, such as
 * `cow, chunked` (RFC 9112, section 6.1). Throws `invalid_request`.
 */
export function checkFraming({ httpVersion, headers }: IncomingMessage): void {
  const coding = headers["transfer-encoding"];
  if (httpVersion !== "1.1" && (httpVersion !== "1.0" || coding !== undefined)) {
    throw new StrongroomError(
      "invalid_request",
      "The HTTP version is not supported. Send the request as HTTP/1.1.",
    );
  }
  if (coding !== undefined && coding !== "chunked") {
    const detail = "The Transfer-Encoding is not supported. Send exactly `chunked`, or a Content-Length.";
    throw new StrongroomError("invalid_request", detail);
  }
}

import type { IncomingMessage } from "node:http";
import { StrongroomError } from "../../shared/errors.ts";

/**
 * Refuses what Node's parser reads as a request and others may frame otherwise: no version (HTTP/0.9 has no
 * headers), a version that is not 1, chunks in HTTP/1.0, and any transfer coding but `chunked` alone, such as
 * `cow, chunked` (RFC 9112, section 6.1). Throws `invalid_request`.
 */
export function checkFraming({ httpVersion, headers }: IncomingMessage): void {
  const coding = headers["transfer-encoding"];
  if (httpVersion !== "1.1" && (httpVersion !== "1.0" || coding !== undefined)) {
    throw new StrongroomError("invalid_request", "The request is refused: send it by HTTP/1.1.");
  }
  if (coding !== undefined && coding !== "chunked") {
    const detail = "The request is refused: its Transfer-Encoding is not chunked, as it stands.";
    throw new StrongroomError("invalid_request", detail);
  }
}

import type { IncomingMessage } from "node:http";
import { StrongroomError } from "../shared/errors.ts";

/**
 * Refuses what Node's parser reads as a request and others may frame otherwise: no version (HTTP/0.9 has no
 * headers), a version that is not 1, and chunks in HTTP/1.0 (RFC 9112, section 6.1). Throws `invalid_request`.
 */
export function checkFraming({ httpVersion, headers }: IncomingMessage): void {
  if (httpVersion === "1.1") return;
  if (httpVersion === "1.0" && headers["transfer-encoding"] === undefined) return;
  throw new StrongroomError("invalid_request", "The request is refused: send it by HTTP/1.1.");
}

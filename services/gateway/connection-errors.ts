import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Logger } from "pino";
import { answerList, type Inject, parseList } from "./list-verb.ts";

/** What Node gives; its types know no packet. */
type ConnectionError = Error & { code?: string; rawPacket?: unknown };

/** One line in this time at most, of all addresses. */
const LOG_EVERY_MS = 1_000;

/**
 * What happens to a connection whose bytes are no request to Node: a LIST is answered through the
 * application, anything else with an error in Vault's form. Either way the connection ends. `count` counts what
 * is no HTTP against an address, and tells whether it may have an answer.
 */
export function connectionErrors(
  inject: Inject,
  logger: Logger,
  count: (address: string | undefined) => boolean,
) {
  const ending = new WeakSet<Socket>();
  const log = sampledLog(logger);
  return (error: ConnectionError, socket: Socket): void => {
    if (ending.has(socket)) return;
    ending.add(socket);
    if (error.code === "ECONNRESET" || !socket.writable) {
      socket.destroy();
      return;
    }
    const { code, rawPacket } = error;
    const list = code === "HPE_INVALID_METHOD" && Buffer.isBuffer(rawPacket) && parseList(rawPacket);
    if (!list) {
      if (code?.startsWith("HPE_")) {
        log(code);
        if (!count(socket.remoteAddress)) {
          socket.destroy();
          return;
        }
      }
      refuse(socket, code);
      return;
    }
    answerList(socket, list, inject).catch((failure) => {
      logger.error({ err: failure }, "a LIST could not be answered");
      socket.destroy();
    });
  };
}

/** Logs the first of what comes in a second, and with the next line how many there were meanwhile. */
function sampledLog(logger: Logger): (code: string) => void {
  let loggedAt = Number.NEGATIVE_INFINITY;
  let unlogged = 0;
  return (code) => {
    const now = performance.now();
    if (now - loggedAt < LOG_EVERY_MS) {
      unlogged++;
      return;
    }
    logger.info({ code, unlogged }, "what came was no HTTP");
    loggedAt = now;
    unlogged = 0;
  };
}

const STATUSES: Record<string, number> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

function refuse(socket: Socket, code = ""): void {
  const status = STATUSES[code] ?? 400;
  const body = JSON.stringify({ errors: [`The request is refused: ${STATUS_CODES[status]}.`] });
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "content-type: application/json",
    `content-length: ${body.length}`,
    "connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}

import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Logger } from "pino";
import { afterEarlierAnswers, answerList, ListHeads, type ParseError, type Serve } from "./list-verb.ts";

type ConnectionError = Error & ParseError;

/** One line in this time at most, of all addresses. */
const LOG_EVERY_MS = 1_000;

/**
 * What happens to a connection whose bytes are no request to Node: a LIST is served as a request is, anything else
 * answered with an error in Vault's form, both after what was asked before. Either way the connection ends. `count`
 * counts what is no HTTP against an address, and tells whether it may have an answer.
 */
export function connectionErrors(
  serve: Serve,
  logger: Logger,
  count: (address: string | undefined) => boolean,
) {
  const lists = new ListHeads();
  const ending = new WeakSet<Socket>();
  const log = sampledLog(logger);
  return (error: ConnectionError, socket: Socket): void => {
    if (ending.has(socket)) return;
    const list = lists.take(socket, error);
    if (list === "unfinished") return;
    ending.add(socket);
    if (error.code === "ECONNRESET" || !socket.writable) {
      socket.destroy();
      return;
    }
    const { code } = error;
    if (!list && code?.startsWith("HPE_")) {
      log(code);
      if (!count(socket.remoteAddress)) {
        socket.destroy();
        return;
      }
    }
    afterEarlierAnswers(socket, () => {
      try {
        if (!socket.writable) socket.destroy();
        else if (list) answerList(socket, list, serve);
        else refuse(socket, error.code);
      } catch (failure) {
        logger.error({ err: failure }, "a LIST could not be answered");
        socket.destroy();
      }
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

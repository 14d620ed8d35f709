import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Logger } from "pino";
import { afterEarlierAnswers, answerList, ListHeads, type ParseError, type Serve } from "./list-verb.ts";

type ConnectionError = Error & ParseError;

/** At most one log line in this time, for all addresses together. */
const LOG_EVERY_MS = 1_000;

/**
 * Handles a connection whose bytes Node cannot parse as a request: a LIST is served like any request, anything else
 * gets an error in Vault's form, both after the answers to earlier requests. Either way the connection ends. `count`
 * charges malformed HTTP to an address, and returns whether to answer it.
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
        logger.error({ err: failure }, "cannot answer a LIST request");
        socket.destroy();
      }
    });
  };
}

/** Logs at most one line a second, with the number of errors not logged since the line before. */
function sampledLog(logger: Logger): (code: string) => void {
  let loggedAt = Number.NEGATIVE_INFINITY;
  let unlogged = 0;
  return (code) => {
    const now = performance.now();
    if (now - loggedAt < LOG_EVERY_MS) {
      unlogged++;
      return;
    }
    logger.info({ code, unlogged }, "malformed HTTP received");
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
  const body = JSON.stringify({
    errors: [`The server cannot process the request: ${STATUS_CODES[status]}.`],
  });
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "content-type: application/json",
    `content-length: ${body.length}`,
    "connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}

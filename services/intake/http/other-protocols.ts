import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { StrongroomError } from "../../shared/errors.ts";
import { PROBLEM_TYPE, toProblem } from "../../shared/http/problem.ts";
import type { Server } from "../../shared/http/server.ts";
import { endWithProblem } from "./refuse.ts";

/** Answers what Node would only close or ignore: CONNECT, and expectations other than `100-continue`. */
export function refuseOtherProtocols({ server }: Pick<Server, "server">): void {
  server.on("connect", (_request: IncomingMessage, socket: Duplex) => {
    socket.on("error", () => socket.destroy());
    const refusal = new StrongroomError("method_not_allowed", "CONNECT is not supported: this is no proxy.");
    const body = JSON.stringify(toProblem(refusal, randomUUID()));
    socket.end(
      `HTTP/1.1 405 Method Not Allowed\r\nContent-Type: ${PROBLEM_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    );
  });
  server.on("checkExpectation", (_request: IncomingMessage, response: ServerResponse) => {
    const refusal = new StrongroomError("invalid_request", "Only `Expect: 100-continue` is supported.");
    endWithProblem(response.setHeader("Connection", "close"), { requestId: randomUUID() }, refusal);
  });
}

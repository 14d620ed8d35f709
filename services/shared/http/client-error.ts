import { randomUUID } from "node:crypto";
import type { Socket } from "node:net";
import { StrongroomError } from "../errors.ts";
import { PROBLEM_TYPE, toProblem } from "./problem.ts";

/** Answers invalid HTTP or too large a head with a problem, before any route runs, and closes the connection. */
export function answerClientError(error: { code?: string }, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) return void socket.destroy();
  const refusal = new StrongroomError(
    "invalid_request",
    "The request is not valid HTTP, or its head is too large.",
  );
  const body = JSON.stringify(toProblem(refusal, randomUUID()));
  socket.end(
    `HTTP/1.1 400 Bad Request\r\nContent-Type: ${PROBLEM_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

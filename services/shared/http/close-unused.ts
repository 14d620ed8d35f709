import type { Server as HttpServer } from "node:http";
import type { Socket } from "node:net";

const SWEEP_MS = 250;

interface Connection {
  socket: Socket;
  /** Requests that are not answered yet. */
  open: number;
}

/**
 * Lets the server's end not wait for connections without a request in progress. Returns what to call when it begins to
 * close. Node closes only those that have had a request: one that a client opened and has not used yet, as `fetch` does
 * if its request is aborted while it connects, would hold up the end until it times out.
 */
export function trackUnusedConnections(server: HttpServer): () => void {
  const connections = new Map<string, Connection>();
  server.on("connection", (socket: Socket) => {
    const key = keyOf(socket);
    connections.set(key, { socket, open: 0 });
    socket.once("close", () => {
      if (connections.get(key)?.socket === socket) connections.delete(key);
    });
  });
  server.on("request", ({ socket }, response) => {
    // By address, since with TLS a request's socket is another object than the connection's.
    const connection = connections.get(keyOf(socket));
    if (!connection) return;
    connection.open++;
    response.once("close", () => connection.open--);
  });
  return () => {
    const sweep = () => {
      for (const { socket, open } of connections.values()) if (open === 0) socket.destroy();
    };
    const timer = setInterval(sweep, SWEEP_MS).unref();
    server.once("close", () => clearInterval(timer));
    sweep();
  };
}

const keyOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;

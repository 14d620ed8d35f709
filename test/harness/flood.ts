import { randomInt } from "node:crypto";
import { connect, type Socket } from "node:net";

/** What comes of many requests: how often each status was answered. */
export type Statuses = Record<number, number>;

export interface Flood {
  port: number;
  connections: number;
  /** Whether each connection comes from an address of its own. */
  spread?: boolean;
  /** The next request's bytes; undefined when there are no more. Each must have its answer before the next. */
  next: () => string | Buffer | undefined;
  /** Told of each answer: its status, and the milliseconds that it took. */
  answered?: (status: number, ms: number, head: string) => void;
}

/** The bytes of a GET on a connection that is kept. */
export const getRequest = (path: string, token: string): string =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\nX-Vault-Token: ${token}\r\n\r\n`;

/** Sends requests over so many connections at once, one after the other on each; a closed one is opened anew. */
export async function flood({ port, connections, spread, next, answered }: Flood): Promise<Statuses> {
  const statuses: Statuses = {};
  const one = async () => {
    let socket: Socket | undefined;
    for (let request = next(); request !== undefined; request = next()) {
      socket ??= connect({
        port,
        host: "127.0.0.1",
        ...(spread && { localAddress: anyAddress() }),
      }).setNoDelay();
      const began = performance.now();
      const answer = await exchange(socket, request);
      const status = Number(answer.slice(9, 12) || 0);
      statuses[status] = (statuses[status] ?? 0) + 1;
      answered?.(status, performance.now() - began, answer.split("\r\n\r\n", 1)[0] ?? "");
      if (socket.destroyed || !isWhole(answer) || /^connection: close/im.test(answer)) {
        socket.destroy();
        socket = undefined;
      }
    }
    socket?.destroy();
  };
  await Promise.all(Array.from({ length: connections }, one));
  return statuses;
}

/** One of loopback's, all of which are this machine's. */
const anyAddress = () => `127.1.${randomInt(256)}.${randomInt(1, 255)}`;

/** Sends bytes on an open connection, and gives the answer: whole, or what there was when the connection ended. */
export function exchange(socket: Socket, bytes: string | Buffer): Promise<string> {
  return new Promise((resolve) => {
    let answer = "";
    const finish = () => {
      socket.off("data", take).off("close", finish).off("error", finish);
      resolve(answer);
    };
    const take = (chunk: Buffer) => {
      answer += chunk.toString("latin1");
      if (isWhole(answer)) finish();
    };
    socket.on("data", take).on("close", finish).on("error", finish);
    socket.write(bytes);
  });
}

/** Whether an answer, by its own length or its last chunk, is whole. */
export function isWhole(answer: string): boolean {
  const end = answer.indexOf("\r\n\r\n");
  if (end === -1) return false;
  const length = /^content-length: (\d+)/im.exec(answer.slice(0, end))?.[1];
  return length ? answer.length - end - 4 >= Number(length) : answer.endsWith("0\r\n\r\n");
}

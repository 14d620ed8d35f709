import { readFileSync } from "node:fs";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** What a load process is told, as JSON in its first argument. */
export interface Load {
  host: string;
  port: number;
  /** TLS: the authority's file, and the name the certificate must carry. */
  tls?: { caFile: string; serverName: string };
  /** File of the header lines that each request carries (tokens among them: none is in a command line). */
  headersFile: string;
  path: string;
  connections: number;
  requests: number;
}

/** What it says on its standard output, as JSON. */
export interface LoadResult {
  seconds: number;
  /** Milliseconds. */
  p50: number;
  p99: number;
}

/**
 * Sends one GET again and again over kept-alive connections, one at a time on each, and fails at the first
 * answer that is not 200. It parses no more of an answer than its length, so that it costs little itself.
 */
async function run(load: Load): Promise<LoadResult> {
  const head = `GET ${load.path} HTTP/1.1\r\nHost: ${load.host}:${load.port}\r\n`;
  const request = Buffer.from(`${head}${readFileSync(load.headersFile, "utf8").trimEnd()}\r\n\r\n`);
  const times = new Float64Array(load.requests);
  let begun = 0;
  const take = () => (begun < load.requests ? begun++ : undefined);
  const sockets = await Promise.all(Array.from({ length: load.connections }, () => open(load)));
  const start = performance.now();
  await Promise.all(sockets.map((socket) => drive(socket, request, times, take)));
  const seconds = (performance.now() - start) / 1000;
  for (const socket of sockets) socket.destroy();
  times.sort();
  const at = (share: number) => times[Math.floor((times.length - 1) * share)] ?? Number.NaN;
  return { seconds, p50: at(0.5), p99: at(0.99) };
}

function open({ host, port, tls }: Load): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = tls
      ? connectTls({ host, port, ca: readFileSync(tls.caFile), servername: tls.serverName }, () =>
          resolve(socket),
        )
      : connectTcp({ host, port, noDelay: true }, () => resolve(socket));
    socket.once("error", reject);
  });
}

function drive(
  socket: Socket,
  request: Buffer,
  times: Float64Array,
  take: () => number | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let index: number | undefined;
    let sentAt = 0;
    let answer = "";
    const next = () => {
      index = take();
      if (index === undefined) return resolve();
      sentAt = performance.now();
      socket.write(request);
    };
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("the connection was closed")));
    socket.on("data", (chunk: Buffer) => {
      answer += chunk.toString("latin1");
      const end = answer.indexOf("\r\n\r\n");
      if (end === -1) return;
      const head = answer.slice(0, end);
      const length = /\r\ncontent-length: ?([0-9]+)/i.exec(head)?.[1];
      const isChunked = /\r\ntransfer-encoding: ?chunked/i.test(head);
      if (!answer.startsWith("HTTP/1.1 200") || (length === undefined && !isChunked)) {
        reject(new Error(`answered ${answer.slice(0, 200)}`));
        return;
      }
      if (isChunked ? !answer.endsWith("\r\n0\r\n\r\n") : answer.length < end + 4 + Number(length)) return;
      times[index as number] = performance.now() - sentAt;
      answer = "";
      next();
    });
    next();
  });
}

const result = await run(JSON.parse(process.argv[2] ?? "{}") as Load);
process.stdout.write(JSON.stringify(result));

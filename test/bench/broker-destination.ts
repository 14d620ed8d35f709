import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { finished } from "node:stream/promises";

/**
 * A provider's API for `broker.ts`, as cheap as Node's server is: `/v1/thing` answers one KiB of JSON; `/v1/stream?bytes=N` so
 * many bytes, none of which is an escape; `POST /v1/stream` says how many bytes came.
 */
const [port, certificate = "", key = ""] = process.argv.slice(2);
const THING = JSON.stringify({ id: "thing", text: "x".repeat(1_000) });
const PIECE = Buffer.alloc(64 * 1024, "strongroom ");

createServer(
  { cert: readFileSync(certificate), key: readFileSync(key), keepAliveTimeout: 60_000 },
  async (request, response) => {
    if (request.method === "POST") {
      let bytes = 0;
      for await (const chunk of request) bytes += (chunk as Buffer).length;
      response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify({ bytes }));
      return;
    }
    const [, bytes] = /bytes=([0-9]+)$/.exec(request.url ?? "") ?? [];
    if (bytes === undefined) {
      const head = { "Content-Type": "application/json", "Content-Length": THING.length };
      response.writeHead(200, head).end(THING);
      return;
    }
    response.writeHead(200, { "Content-Type": "application/octet-stream", "Content-Length": bytes });
    let left = Number(bytes);
    const write = () => {
      while (left > 0) {
        const piece = PIECE.subarray(0, left);
        left -= piece.length;
        if (!response.write(piece)) return;
      }
      response.end();
    };
    response.on("drain", write);
    write();
    await finished(response).catch(() => {});
  },
).listen(Number(port), "127.0.0.1");
process.once("SIGTERM", () => process.exit());
// With the bench, however that ends.
process.stdin.on("end", () => process.exit()).resume();

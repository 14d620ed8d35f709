import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { Pool } from "undici";

/**
 * The least that a forwarding server in Node does: its HTTP server and the client that the gateway uses, and
 * nothing between them. It is what the gateway's own work is to be held against, and serves nothing else.
 */
const [port, upstream, servername, caFile] = process.argv.slice(2);
const pool = new Pool(upstream ?? "", {
  connections: 32,
  pipelining: 1,
  connect: { ca: readFileSync(caFile ?? ""), servername, maxCachedSessions: 0 },
});
createServer((request, response) => {
  let body = "";
  pool.dispatch(
    {
      method: "GET",
      path: request.url ?? "/",
      headers: { "x-vault-token": String(request.headers["x-vault-token"]) },
    },
    {
      onRequestStart() {},
      onResponseStart(_controller, status, headers) {
        const length = String(headers["content-length"]);
        response.writeHead(status, { "content-type": "application/json", "content-length": length });
      },
      onResponseData(_controller, chunk) {
        body += chunk.toString("latin1");
      },
      onResponseEnd() {
        response.end(body, "latin1");
      },
      onResponseError() {
        response.destroy();
      },
    },
  );
}).listen(Number(port), "127.0.0.1");
process.once("SIGTERM", () => process.exit());

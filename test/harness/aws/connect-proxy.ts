import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";

/** A proxy that knows names of a private network, for programs that ask no resolver of ours, as those in Go. */
export interface ConnectProxy {
  url: string;
  close(): Promise<void>;
}

/** `addressOf` is asked for each connection; a name that it does not know is refused. TLS goes through unopened. */
export async function startConnectProxy(
  addressOf: (host: string) => string | undefined,
): Promise<ConnectProxy> {
  const server = createServer((_, response) => response.writeHead(405).end());
  server.on("connect", (request, client) => {
    const [host = "", port] = String(request.url).split(":");
    const address = addressOf(host);
    if (!address) return void client.end("HTTP/1.1 502 Bad Gateway\r\n\r\n");
    const upstream = connect(Number(port), address, () => {
      client.write("HTTP/1.1 200 OK\r\n\r\n");
      upstream.pipe(client).pipe(upstream);
    });
    for (const [one, other] of [
      [upstream, client],
      [client, upstream],
    ] as const) {
      one.once("error", () => other.destroy());
      one.once("close", () => other.destroy());
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Failure } from "./failure.ts";

/** Waits on this machine's loopback address for the browser that a provider sends back. */
export interface CallbackListener {
  /** `http://127.0.0.1:PORT/callback/NAME` */
  redirect: string;
  /**
   * The first URL that comes to the redirect with this state, whole. Others are answered and not taken. Failure
   * `unavailable` after `withinMs`.
   */
  callback(state: string, withinMs: number): Promise<string>;
  close(): void;
}

const MOST_URL = 8_192;

/** Listens at a port, or at any free one (0). Failure `unavailable` if the port is taken. */
export async function listenForCallback(name: string, port: number): Promise<CallbackListener> {
  const path = `/callback/${name}`;
  const came = Promise.withResolvers<string>();
  let wanted: string | undefined;
  const server = createServer({ maxHeaderSize: 16_384, requestTimeout: 10_000 }, (request, response) => {
    const { url = "", method } = request;
    const [asked] = url.split("?");
    // The Host header is the browser's word that it means this listener, and not a name that leads here.
    if (request.headers.host !== host() || asked !== path || method !== "GET") {
      return answer(response, 404, "Nothing is here.");
    }
    const isOurs = url.length <= MOST_URL && stateOf(request) === wanted && wanted !== undefined;
    if (!isOurs) return answer(response, 400, "This is not the authorization that was asked for.");
    answer(response, 200, "Received. Go back to the terminal; you can close this page.");
    came.resolve(`http://${host()}${url}`);
  });
  server.maxConnections = 16;
  server.listen(port, "127.0.0.1");
  await once(server, "listening").catch(() => {
    const hint = "Choose another with --port, one that the provider allows";
    throw new Failure("unavailable", `The port ${port} is taken`, hint);
  });
  const host = () => `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  const redirect = `http://${host()}${path}`;
  return {
    redirect,
    close,
    async callback(state, withinMs) {
      wanted = state;
      const timer = setTimeout(() => {
        const hint = "Begin again, and open the URL in time.";
        came.reject(
          new Failure("unavailable", `Nobody came back within ${Math.round(withinMs / 1000)} s`, hint),
        );
      }, withinMs);
      try {
        return await came.promise;
      } finally {
        clearTimeout(timer);
      }
    },
  };
}

const stateOf = ({ url = "" }: IncomingMessage): string | null =>
  new URLSearchParams(url.slice(url.indexOf("?") + 1)).get("state");

/** A page without anything that could leak the code in its address. */
function answer(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, {
    "Content-Type": "text/plain; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    Connection: "close",
  });
  response.end(`${text}\n`);
}

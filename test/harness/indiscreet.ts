import type { ServerResponse } from "node:http";
import type { Destination, Effect } from "./destination.ts";

/** A destination that shows the value it was sent in many ways, fails and breaks off; by the path after `/v1/`. */
export const indiscreet =
  (destination: Destination) =>
  ({ url, headers }: Effect, response: ServerResponse): void => {
    const value = headers.authorization?.replace("Bearer ", "") ?? "";
    const bytes = Buffer.from(value, "latin1");
    const [, , what = "", how = ""] = url.split("/");
    const echoes: Record<string, () => void> = {
      clear: () => response.end(`you sent ${value}`),
      base64: () => response.end(bytes.toString("base64")),
      hex: () => response.end(bytes.toString("hex")),
      url: () => response.end(encodeURIComponent(value)),
      json: () => response.end(JSON.stringify({ value }).replaceAll("&", "\\u0026")),
      header: () => response.writeHead(200, { "X-Echo": value }).end(),
      chunks: () => {
        for (const each of value) response.write(each);
        response.end();
      },
    };
    if (what === "echo") return void echoes[how]?.();
    if (what === "fail") return void response.writeHead(Number(how)).end(`wrong key ${value}`);
    if (what === "large") return void response.end(value.repeat(10_000));
    if (what === "gzip") return void response.writeHead(200, { "Content-Encoding": "gzip" }).end(value);
    const tries = destination.count(String(headers["idempotency-key"]));
    if (what === "flaky" && tries < 2) return void response.destroy();
    response.end("{}");
  };

/** The paths that {@link indiscreet} knows. */
export const INDISCREET_PATHS = [
  ...["ok/1", "ok/2", "ok/3", "ok/4", "ok/5", "ok/6", "ok/7", "ok/8"],
  ...["echo/clear", "echo/base64", "echo/hex", "echo/url", "echo/json", "echo/header", "echo/chunks"],
  ...["fail/401", "fail/500", "fail/302", "large/1", "gzip/1", "flaky/1"],
];

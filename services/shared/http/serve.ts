import { Server as HttpsServer } from "node:https";
import type { AddressInfo, ListenOptions } from "node:net";
import type { FastifyListenOptions } from "fastify";
import { Type } from "typebox";
import { ConfigError } from "../config.ts";
import { writeFileAtomic } from "../files.ts";
import type { Server } from "./server.ts";

/** An IPv4 address and a port. */
export const LISTEN_PATTERN = "^[0-9]{1,3}(\\.[0-9]{1,3}){3}:[0-9]{1,5}$";

/** The settings of every service that listens, for its configuration's schema. */
export const LISTEN_SETTINGS = {
  STRONGROOM_LISTEN: Type.String({
    pattern: LISTEN_PATTERN,
    description: "IPv4 address and port to listen on, such as 127.0.0.1:8200; port 0 picks a free one",
  }),
  STRONGROOM_ADDRESS_FILE: Type.Optional(
    Type.String({
      description: "File to write the bound address to (http(s)://…) once the service is listening",
    }),
  ),
  STRONGROOM_LOG_LEVEL: Type.Enum(["fatal", "error", "warn", "info", "debug", "trace"], { default: "info" }),
};

const CLOSE_WITHIN_MS = 5_000;

/**
 * Listens, writes the bound address to the address file, and from then on, at SIGTERM or SIGINT, closes the server and
 * exits with status 0. Requests in progress may finish, for at most five seconds.
 */
export async function serve(
  app: Server,
  settings: { STRONGROOM_LISTEN: string; STRONGROOM_ADDRESS_FILE?: string; STRONGROOM_SHARE_PORT?: boolean },
): Promise<void> {
  const colon = settings.STRONGROOM_LISTEN.lastIndexOf(":");
  const host = settings.STRONGROOM_LISTEN.slice(0, colon);
  const port = Number(settings.STRONGROOM_LISTEN.slice(colon + 1));
  // Fastify passes the option to Node, though its types do not have it.
  const options: ListenOptions = { host, port, reusePort: settings.STRONGROOM_SHARE_PORT ?? false };
  await app.listen(options as FastifyListenOptions);
  const bound = app.server.address() as AddressInfo;
  const close = () => {
    setTimeout(() => process.exit(0), CLOSE_WITHIN_MS).unref();
    void app.close().finally(() => process.exit(0));
  };
  process.once("SIGTERM", close).once("SIGINT", close);
  if (settings.STRONGROOM_ADDRESS_FILE) {
    const scheme = app.server instanceof HttpsServer ? "https" : "http";
    await writeFileAtomic(settings.STRONGROOM_ADDRESS_FILE, `${scheme}://${host}:${bound.port}`);
  }
}

/** Runs a service's start. Wrong settings are printed to stderr, one line each, with exit status 78. */
export async function run(start: () => Promise<void>): Promise<void> {
  try {
    await start();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 78;
  }
}

import { randomInt } from "node:crypto";
import { createServer } from "node:net";
import { Failure } from "../failure.ts";

/** Whether a process can listen on 127.0.0.1:port now. */
export function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen({ host: "127.0.0.1", port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** Throws Failure `unavailable`, which names the option for another port, if the port is in use. */
export async function requireFree(port: number, what: string, option: string): Promise<void> {
  if (port === 0 || (await isFree(port))) return;
  throw new Failure(
    "unavailable",
    `The ${what}'s port ${port} is in use by another process`,
    `Stop that process, or choose another port: ${option} N (0: any free port)`,
  );
}

/**
 * A port that is free now, as is the next one. It is below the range of ephemeral ports, so that it is likely to
 * be free at the next start too.
 */
export async function freePort(except: number[] = []): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const port = randomInt(20_000, 32_000);
    if (except.some((taken) => Math.abs(taken - port) < 2)) continue;
    if ((await isFree(port)) && (await isFree(port + 1))) return port;
  }
  throw new Failure("unavailable", "Found no free port on 127.0.0.1");
}

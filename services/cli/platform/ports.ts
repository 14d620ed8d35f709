import { randomInt } from "node:crypto";
import { createServer } from "node:net";
import { Failure } from "../failure.ts";

/** Whether 127.0.0.1:port can be listened on now. */
export function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen({ host: "127.0.0.1", port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** Failure `unavailable`, naming the option that gives another, where the port is taken. */
export async function requireFree(port: number, what: string, option: string): Promise<void> {
  if (port === 0 || (await isFree(port))) return;
  throw new Failure(
    "unavailable",
    `Port ${port}, where the ${what} should listen, is taken by another process`,
    `End that process, or take another port: ${option} N (0: any free one)`,
  );
}

/**
 * A port that is free now, as is the one after it. Below the range that systems give to outgoing
 * connections, so that it is likely to be free at the next start too.
 */
export async function freePort(except: number[] = []): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const port = randomInt(20_000, 32_000);
    if (except.some((taken) => Math.abs(taken - port) < 2)) continue;
    if ((await isFree(port)) && (await isFree(port + 1))) return port;
  }
  throw new Failure("unavailable", "No free port was found on 127.0.0.1");
}

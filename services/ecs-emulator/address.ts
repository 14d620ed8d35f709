import { randomInt } from "node:crypto";
import { createServer } from "node:net";

const TRIES = 50;

/**
 * An address of the loopback network where nothing listens on the port, and that none of `taken` has: what a
 * network interface of its own is to a task. Linux routes all of 127.0.0.0/8 to itself; other systems do not.
 */
export async function freeAddress(port: number, taken: ReadonlySet<string>): Promise<string> {
  for (let tries = 0; tries < TRIES; tries++) {
    const address = `127.${randomInt(64, 128)}.${randomInt(256)}.${randomInt(1, 255)}`;
    if (!taken.has(address) && (await isFree(address, port))) return address;
  }
  throw new Error(`no loopback address is free on port ${port}`);
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer();
    server.once("error", () => done(false));
    server.listen({ port, host, exclusive: true }, () => server.close(() => done(true)));
  });
}

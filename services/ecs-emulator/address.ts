import { randomInt } from "node:crypto";
import { createServer } from "node:net";

const TRIES = 50;

/**
 * A loopback address that is not in `taken` and where nothing listens on the port: it stands in for a task's own
 * network interface. Linux routes all of 127.0.0.0/8 to itself; other systems do not.
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

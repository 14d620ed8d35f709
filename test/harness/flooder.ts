import { once } from "node:events";
import { setPriority } from "node:os";
import { createInterface } from "node:readline";
import { flood, getRequest } from "./flood.ts";

/**
 * Reads one line of JSON, and then asks as fast as it is answered until its standard input ends; says how often
 * each status was answered: a read of a path, or a request as it stands (base64).
 * The token comes by standard input, for it would be seen in a command line. `spread`: from many addresses.
 */
const lines = createInterface({ input: process.stdin });
// Those who flood have machines of their own: here it gets what time the others leave.
setPriority(10);
const [line] = (await once(lines, "line")) as [string];
const { port, connections, spread, path, token, raw } = JSON.parse(line);
let ended = false;
lines.once("close", () => {
  ended = true;
});
const request = raw ? Buffer.from(raw, "base64") : getRequest(path, token);
const statuses = await flood({ port, connections, spread, next: () => (ended ? undefined : request) });
process.stdout.write(JSON.stringify(statuses));

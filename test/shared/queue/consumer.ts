import { appendFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { embeddedQueue } from "../../../services/shared/queue/embedded.ts";

// A process that consumes an embedded queue: `consumer.ts FILE LOG VISIBILITY_SECONDS`. A message's body is a name and how
// many milliseconds it takes. Each begin and end is a line of the log: the time, the process, the event, the name.
const [file = "", log = "", visibility = ""] = process.argv.slice(2);
const note = (event: string, name: string) =>
  appendFileSync(log, `${performance.timeOrigin + performance.now()} ${process.pid} ${event} ${name}\n`);
const queue = await embeddedQueue(file);
queue.consume(
  { concurrency: 8, visibilitySeconds: Number(visibility), maxReceives: 100 },
  async ({ body }) => {
    const [name = "", ms = "0"] = body.split(" ");
    note("begin", name);
    if (Number(ms) > 0) await sleep(Number(ms));
    note("end", name);
    return { done: true };
  },
);
note("ready", "-");

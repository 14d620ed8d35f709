import { type DestinationStream, destination } from "pino";

/** Lines are written together once there is so much of them, in characters: a pipe takes it whole. */
const WRITE_AT = 16 * 1024;
const WRITE_EVERY_MS = 100;
/** So many lines are made together: more would hold up the requests of that moment. */
const MAKE_AT = 64;

/** What a logger writes to, and what makes lines later. */
export interface GatheredLines extends DestinationStream {
  /** Has `log` write its line when lines are next written. It must not throw. */
  defer(log: () => void): void;
}

/**
 * Standard output for a line a request: lines are made and written together, at least ten times a second
 * and when the process exits, by writes that nobody waits for. A line made on its own, between one request and
 * the next, costs much more than one in a row; and pino's own gathering costs several times as much, since it
 * measures all that it has gathered with each line.
 */
export function gatheredLines(fd = 1): GatheredLines {
  const out = destination({ dest: fd, sync: false });
  let deferred: (() => void)[] = [];
  let lines: string[] = [];
  let length = 0;
  const make = () => {
    const now = deferred;
    deferred = [];
    for (const log of now) log();
  };
  const write = () => {
    if (length === 0) return;
    out.write(lines.join(""));
    lines = [];
    length = 0;
  };
  setInterval(() => {
    make();
    write();
  }, WRITE_EVERY_MS).unref();
  process.once("exit", () => {
    make();
    out.flushSync();
    if (length === 0) return;
    // Not by `out`: a write that it begins now would not be waited for.
    const last = destination({ dest: fd, sync: true });
    last.write(lines.join(""));
    last.flushSync();
  });
  return {
    write(line) {
      lines.push(line);
      length += line.length;
      if (length >= WRITE_AT) write();
    },
    defer(log) {
      deferred.push(log);
      if (deferred.length >= MAKE_AT) make();
    },
  };
}

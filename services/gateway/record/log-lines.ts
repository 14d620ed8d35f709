import { type DestinationStream, destination } from "pino";

/** Characters after which lines are written together: a pipe takes that many in one write. */
const WRITE_AT = 16 * 1024;
const WRITE_EVERY_MS = 100;
/** Lines serialized in one go: more would delay the requests being served. */
const MAKE_AT = 64;

/** A logger's destination that can also defer the making of a line. */
export interface GatheredLines extends DestinationStream {
  /** Calls `log`, which logs a line, when lines are next written. It must not throw. */
  defer(log: () => void): void;
}

/**
 * Standard output for one line a request: lines are serialized and written in batches, at least ten times a second and
 * when the process exits, by asynchronous writes. Serializing a line on its own, between two requests, costs much more
 * than in a batch; and pino's own buffering costs several times as much, since it measures its whole buffer with each
 * line.
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
    // Not by `out`, whose writes are asynchronous: the process would exit first.
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

import { type DestinationStream, destination } from "pino";

/** Lines are written together once there is so much of them, in characters: a pipe takes it whole. */
const WRITE_AT = 16 * 1024;
const WRITE_EVERY_MS = 100;

/**
 * Standard output for a line a request: lines are gathered and written together, at least ten times a second
 * and when the process exits, by writes that nobody waits for. pino's own gathering costs several times as
 * much, since it measures all that it has gathered with each line.
 */
export function gatheredLines(fd = 1): DestinationStream {
  const out = destination({ dest: fd, sync: false });
  let lines: string[] = [];
  let length = 0;
  const write = () => {
    if (length === 0) return;
    out.write(lines.join(""));
    lines = [];
    length = 0;
  };
  setInterval(write, WRITE_EVERY_MS).unref();
  process.once("exit", () => {
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
  };
}

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** How a command is run. */
export interface RunOptions {
  /** The whole environment of the command; nothing is inherited. */
  env: Record<string, string | undefined>;
  cwd?: string;
  /** It is ended after this time. */
  timeoutMs: number;
  signal?: AbortSignal | undefined;
  /** Each line of its output as it comes. */
  onLine?: (line: string) => void;
}

/** A command did not end well. The message holds the last lines it wrote. */
export class CommandError extends Error {
  override name = "CommandError";
}

/**
 * Holds the command on a leash: when the pipe that is its standard input closes, because this process
 * closed it or was killed, the whole process group ends, and so no build goes on without its owner.
 */
const LEASH = `exec 3<&0
"$@" 3<&- </dev/null &
job=$!
(read -r _ <&3; kill -KILL 0) &
leash=$!
exec 3<&-
wait "$job"
status=$?
kill "$leash" 2>/dev/null
exit "$status"`;

const KEPT_LINES = 20;
const KEPT_CHARACTERS = 2_000;

/**
 * Runs a command to its end and resolves to the last lines it wrote, standard output and error alike.
 * It and everything it started ends with `signal`, with the timeout and with this process.
 * @throws CommandError when it cannot be started, fails, or takes too long; the signal's reason when aborted
 */
export async function runCommand(command: string, args: string[], options: RunOptions): Promise<string> {
  const { signal, timeoutMs, onLine } = options;
  signal?.throwIfAborted();
  const child = spawn("/bin/sh", ["-c", LEASH, "sh", command, ...args], {
    cwd: options.cwd,
    env: options.env,
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
  });
  const kept: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      kept.push(line.slice(0, KEPT_CHARACTERS));
      if (kept.length > KEPT_LINES) kept.shift();
      onLine?.(line);
    });
  }

  let late = false;
  const letGo = () => child.stdin.destroy();
  const timer = setTimeout(() => {
    late = true;
    letGo();
  }, timeoutMs);
  signal?.addEventListener("abort", letGo, { once: true });
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    signal?.throwIfAborted();
    const output = kept.join("\n");
    if (late) throw new CommandError(`${command}: took longer than ${timeoutMs / 1000} s\n${output}`);
    if (code !== 0) throw new CommandError(`${command}: ended with ${code ?? "a signal"}\n${output}`);
    return output;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", letGo);
    letGo();
  }
}

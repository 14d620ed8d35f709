import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** How a command is run. */
export interface RunOptions {
  /** The whole environment of the command; nothing is inherited. */
  env: Record<string, string | undefined>;
  cwd?: string;
  /** The command is killed after this time. */
  timeoutMs: number;
  signal?: AbortSignal | undefined;
  /** Called with each line of output as it arrives. */
  onLine?: (line: string) => void;
}

/** A command failed. The message contains its last lines of output. */
export class CommandError extends Error {
  override name = "CommandError";
}

/**
 * Ends the command's whole process group when the pipe at its standard input closes, because this process closed
 * it or was killed: no build outlives its owner.
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
 * Runs a command to its end and resolves to its last lines of standard output and error. The signal, the timeout
 * and the end of this process kill it and everything that it started.
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

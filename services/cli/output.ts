import { styleText } from "node:util";
import type { Failure } from "./failure.ts";

type Stream = NodeJS.WritableStream & { isTTY?: boolean };
type Style = Parameters<typeof styleText>[0];

/**
 * Data goes to stdout, as text or with `--json` as one JSON value; everything else goes to stderr.
 * Text is styled only if the stream is a terminal and `NO_COLOR` is not set.
 */
export class Output {
  readonly stdout: Stream;
  readonly stderr: Stream;
  json = false;

  constructor(stdout: Stream, stderr: Stream) {
    this.stdout = stdout;
    this.stderr = stderr;
    // A reader that closes the pipe (`strongroom org list | head -1`) is not an error.
    for (const stream of [stdout, stderr]) stream.on("error", () => {});
  }

  /** The command's result: `value` with `--json`, otherwise the lines of `text`. */
  data(value: unknown, text: () => string | string[]): void {
    const lines = this.json ? JSON.stringify(value, null, 2) : [text()].flat().join("\n");
    if (lines !== "") this.stdout.write(`${lines}\n`);
  }

  /** A line for the user, on stderr. */
  note(line = ""): void {
    this.stderr.write(`${line}\n`);
  }

  /** Text in a style for stderr. */
  style(style: Style, text: string): string {
    return styleText(style, text, { stream: this.stderr as NodeJS.WriteStream });
  }

  /** What went wrong, and what to do next. */
  failure(failure: Failure): void {
    this.note(`${this.style("red", "Error:")} ${failure.message}`);
    if (failure.hint) this.note(failure.hint);
  }
}

/** Rows as aligned columns under a heading. */
export function table(heading: string[], rows: string[][]): string[] {
  const widths = heading.map((name, column) =>
    Math.max(name.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  return [heading, ...rows].map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

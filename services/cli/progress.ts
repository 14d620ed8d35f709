/** Progress messages for a person: single lines, and steps that take time. */
export interface Progress {
  line(text: string): void;
  /** Begins a step. A terminal shows one step at a time: the newest that has not ended. */
  step(label: string): ProgressStep;
}

/** A step in progress. It ends once, by `done` or `fail`. */
export interface ProgressStep {
  /** Sets what it is doing now. Cheap: the text is shown when the step is next drawn. */
  update(text: string): void;
  done(text?: string): void;
  fail(text?: string): void;
}

/** Where progress goes: `process.stderr`, or anything shaped like it. */
export interface ProgressStream {
  isTTY?: boolean;
  columns?: number;
  write(text: string): unknown;
}

const REDRAW_MS = 1_000;
const PLAIN_MS = 15_000;
const CLEAR_LINE = "\r\u001b[2K";

/**
 * Progress on a stream. On a terminal a step is one line, redrawn each second with the elapsed time; elsewhere it is a
 * plain line when it begins, every 15 s, and when it ends.
 */
export function createProgress(stream: ProgressStream): Progress {
  const terminal = stream.isTTY === true;
  const open: { draw(): void }[] = [];

  const write = (text: string) => {
    stream.write(`${terminal && open.length > 0 ? CLEAR_LINE : ""}${text}\n`);
    open.at(-1)?.draw();
  };

  return {
    line: write,
    step(label) {
      const begun = Date.now();
      let doing = "";
      const status = () => [label, doing && `: ${doing}`, ` (${duration(Date.now() - begun)})`].join("");
      const own = {
        draw() {
          if (terminal) stream.write(`${CLEAR_LINE}${status().slice(0, (stream.columns ?? 80) - 1)}`);
        },
      };
      const timer = setInterval(
        () => {
          if (!terminal) stream.write(`${status()}\n`);
          else if (open.at(-1) === own) own.draw();
        },
        terminal ? REDRAW_MS : PLAIN_MS,
      );
      // A step that never ends must not keep the process alive.
      timer.unref();
      const end = (result: string) => {
        clearInterval(timer);
        const at = open.indexOf(own);
        if (at < 0) return;
        if (terminal) stream.write(CLEAR_LINE);
        open.splice(at, 1);
        write(`${label}: ${result} (${duration(Date.now() - begun)})`);
      };

      open.push(own);
      if (terminal) own.draw();
      else stream.write(`${label} …\n`);
      return {
        update: (text) => {
          doing = text;
        },
        done: (text = "done") => end(text),
        fail: (text) => end(text ? `failed: ${text}` : "failed"),
      };
    },
  };
}

/** A duration for people: `0.4 s`, `12 s`, `4 min 7 s`. */
export function duration(ms: number): string {
  if (ms < 9_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

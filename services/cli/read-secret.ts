import type { ReadStream } from "node:tty";
import { VALUE_BYTES } from "../shared/api/credentials.ts";
import { Secret } from "../shared/secret.ts";
import { Failure } from "./failure.ts";
import type { Output } from "./output.ts";

type Input = NodeJS.ReadableStream & Partial<Pick<ReadStream, "isTTY" | "setRawMode">>;

const ENTER = ["\r", "\n", "\u0004"];
const BACKSPACE = ["\u007f", "\b"];
const INTERRUPT = "\u0003";

/** Fails if a secret stands on the command line, where every user of the machine and the shell's history have it. */
export function refuseArgument(values: string[], command: string): void {
  if (values.length === 0) return;
  throw new Failure(
    "usage",
    "A secret value is never taken as an argument: other users can see it there, and your shell's history has it now",
    `Pass it on stdin, as in: ${command} < FILE; or run the command in a terminal, which asks for it`,
  );
}

/**
 * Reads a secret value: from a terminal by a prompt that shows nothing, otherwise all of stdin, without one last line
 * break. Failure `usage` if it is empty, too long or no text.
 */
export async function readSecret(out: Output, label: string, input: Input = process.stdin): Promise<Secret> {
  const value = input.isTTY ? await prompt(out, label, input) : await readAll(input);
  if (value === "") throw new Failure("usage", `${label}: nothing was given on stdin`);
  return new Secret(value);
}

async function readAll(input: Input): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of input) {
    const bytes = Buffer.from(chunk as Uint8Array | string);
    chunks.push(bytes);
    size += bytes.length;
    // Two more for the line break.
    if (size > VALUE_BYTES.max + 2) {
      throw new Failure("usage", `The value is longer than ${VALUE_BYTES.max / 1024} KiB`);
    }
  }
  const bytes = Buffer.concat(chunks);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes).replace(/\r?\n$/, "");
  } catch {
    throw new Failure("usage", "The value is not text in UTF-8", "Encode it first, for example with base64");
  } finally {
    for (const each of [bytes, ...chunks]) each.fill(0);
  }
}

/** Reads a line from a terminal without showing it. Ctrl-C ends the command. */
async function prompt(out: Output, label: string, input: Input): Promise<string> {
  out.stderr.write(`${label} (not shown): `);
  input.setRawMode?.(true);
  input.setEncoding("utf8");
  let value = "";
  try {
    for await (const chunk of input) {
      for (const character of chunk as string) {
        if (ENTER.includes(character)) return value;
        if (character === INTERRUPT) throw new Failure("interrupted", "Interrupted; nothing was changed");
        if (BACKSPACE.includes(character)) value = value.slice(0, -1);
        else value += character;
      }
      if (value.length > VALUE_BYTES.max) {
        throw new Failure("usage", `The value is longer than ${VALUE_BYTES.max / 1024} KiB`);
      }
    }
    return value;
  } finally {
    input.setRawMode?.(false);
    out.note();
  }
}

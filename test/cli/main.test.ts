import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { LAUNCHER, type Platform, startPlatform } from "../harness/platform.ts";

/**
 * A transcript is commands (`$ `), each followed by what it must write to stdout (`> `) and stderr (`! `), and
 * its exit status where that is not 0 (`= `). A line that starts with `#` is a remark. What differs from run
 * to run is written `<id>`, `<job>`, `<work>`, `<time>`, `<pid>`, `<url>`, `<state>`, `<token>`; `<...>` stands for any text.
 */
const TRANSCRIPTS = fileURLToPath(new URL("transcripts", import.meta.url));
const BIN = join(dirname(LAUNCHER), "..", "..", "node_modules", ".bin");

let platform: Platform;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "strongroom-transcripts-"));
  platform = await startPlatform({ demo: true });
});
afterAll(async () => {
  await platform?.stop();
  await rm(folder, { recursive: true });
});

interface Block {
  command: string;
  expected: string[];
}

function parse(text: string): Block[] {
  const blocks: Block[] = [];
  for (const line of text.split("\n")) {
    if (line.startsWith("$ ")) blocks.push({ command: line.slice(2), expected: [] });
    else if (/^[>!=]/.test(line)) blocks.at(-1)?.expected.push(line.trimEnd());
    else if (line !== "" && !line.startsWith("#")) throw new Error(`not a line of a transcript: ${line}`);
  }
  return blocks;
}

/** Runs a command as a person's shell would, and gives what came of it as lines of a transcript. */
async function run(command: string): Promise<string[]> {
  const env = {
    PATH: `${BIN}:/usr/bin:/bin`,
    HOME: folder,
    VAULT_BIN: inject("vaultBinary"),
    STRONGROOM_STATE: platform.state,
    GATEWAY: platform.gateway,
    CONTROL_PLANE: platform.controlPlane,
    INTAKE: platform.intake,
    PROVIDER: platform.demoProvider ?? "",
  };
  return await new Promise((resolve) => {
    const child = execFile("sh", ["-c", command], { cwd: folder, env }, (error, stdout, stderr) => {
      const status = error ? [`= ${error.code}`] : [];
      resolve([...lines(">", stdout), ...lines("!", stderr), ...status]);
    });
    child.stdin?.end();
  });
}

const lines = (mark: string, text: string) =>
  text
    .split("\n")
    .slice(0, text.endsWith("\n") ? -1 : undefined)
    .filter((line, _, all) => all.length > 1 || line !== "")
    .map((line) => `${mark} ${line}`.trimEnd());

function normalized(line: string): string {
  return line
    .replaceAll(platform.state, "<state>")
    .replace(/\beyJ[\w-]+\.[\w-]+\.[\w-]+/g, "<token>")
    .replace(/\bo[a-z2-7]{15}\b/g, "<id>")
    .replace(/\bj[a-z2-7]{15}\b/g, "<job>")
    .replace(/\bj[a-z2-7]{26}\b/g, "<work>")
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, "<time>")
    .replace(/ *\b\d+\.\d s\b/g, " <time>")
    .replace(/https?:\/\/127\.0\.0\.1:\d+/g, "<url>")
    .replace(/\(pid \d+\)/g, "(pid <pid>)");
}

/** Whether an actual line is the expected one, in which `<...>` stands for any text. */
const matches = (actual: string, expected: string) =>
  new RegExp(`^${expected.split("<...>").map(RegExp.escape).join(".*")}$`).test(actual);

test.each(readdirSync(TRANSCRIPTS))("%s", { timeout: 240_000 }, async (name) => {
  for (const { command, expected } of parse(readFileSync(join(TRANSCRIPTS, name), "utf8"))) {
    const actual = (await run(command)).map(normalized);
    const shown = actual.map((line, index) => {
      const wanted = expected[index];
      return wanted !== undefined && matches(line, wanted) ? wanted : line;
    });
    expect([`$ ${command}`, ...shown]).toEqual([`$ ${command}`, ...expected]);
  }
});

import { open } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { instanceFolder } from "../../shared/process/instance-folders.ts";
import type { CliCommand } from "../command.ts";
import { Failure } from "../failure.ts";
import { count } from "../options.ts";
import { SERVICES } from "../platform/state-folder.ts";
import type { Session } from "../session.ts";

const NAMES = ["internal-vault", ...SERVICES] as const;

export const logsCommand: CliCommand = {
  declare(line) {
    line
      .argument("[org]", "name or id")
      .option("--service <name>", `one of the platform's: ${NAMES.join(", ")}`)
      .option("-f, --follow", "keep printing new lines")
      .addOption(count("--lines <n>", "number of last lines to print", 50));
  },
  run: logs,
};

const TAIL_BYTES = 1024 * 1024;
const FOLLOW_MS = 250;

/** `strongroom logs <org>` or `--service <name>`: the last lines, and with `--follow` the lines that follow. */
async function logs(
  session: Session,
  [org]: string[],
  options: { service?: string; follow?: boolean; lines: number },
): Promise<undefined> {
  const path = await logFile(session, org, options.service);
  const file = await open(path, "r").catch(() => {
    throw new Failure("notFound", `There is no log at ${path}`);
  });
  const { stdout } = session.out;
  try {
    let { size: end } = await file.stat();
    const from = Math.max(0, end - TAIL_BYTES);
    const text = (await read(file, from, end)).toString("utf8");
    const lines = text.split("\n").slice(0, -1);
    for (const line of lines.slice(Math.max(0, lines.length - options.lines))) stdout.write(`${line}\n`);
    // Until the reader closes the pipe, as `head` does.
    while (options.follow && stdout.writable) {
      await sleep(FOLLOW_MS);
      const { size } = await file.stat();
      // Rotation truncated it: all of its content is new.
      if (size < end) end = 0;
      if (size === end) continue;
      stdout.write(await read(file, end, size));
      end = size;
    }
  } finally {
    await file.close();
  }
}

async function read(file: Awaited<ReturnType<typeof open>>, from: number, to: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(to - from), 0, to - from, from);
  return buffer.subarray(0, bytesRead);
}

async function logFile(
  session: Session,
  org: string | undefined,
  service: string | undefined,
): Promise<string> {
  if ((org === undefined) === (service === undefined)) {
    throw new Failure("usage", "Pass either an organization or --service NAME");
  }
  if (service !== undefined) {
    if (!NAMES.some((name) => name === service)) {
      throw new Failure("usage", `There is no service ${service}`, `The services are: ${NAMES.join(", ")}`);
    }
    return session.state.logFile(service);
  }
  if (NAMES.some((name) => name === org)) {
    throw new Failure("usage", `${org} is a service`, `Run: strongroom logs --service ${org}`);
  }
  await session.local("logs");
  const { id, attempt } = await (await session.controlPlane()).findOrg(org ?? "");
  return instanceFolder(session.state.instances, id, attempt).log;
}

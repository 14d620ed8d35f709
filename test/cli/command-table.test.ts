import { Command } from "commander";
import { expect, test } from "vitest";
import type { CommandTable } from "../../services/cli/command.ts";
import { COMMANDS } from "../../services/cli/command-table.ts";

/** Options that every command has. A command's own of the same name would never be seen: the global one takes it. */
const GLOBAL = ["--state", "--json", "--version", "--help"];

test.each(await declared(COMMANDS))("%s has no option that is a global one's too", (_, line) => {
  expect(line.options.map(({ long }) => long).filter((long) => GLOBAL.includes(long ?? ""))).toEqual([]);
});

async function declared(table: CommandTable, path: string[] = []): Promise<[string, Command][]> {
  const found: [string, Command][] = [];
  for (const [name, [, entry, below = {}]] of Object.entries(table)) {
    found.push(...(await declared(below, [...path, name])));
    if (typeof entry !== "function") {
      found.push(...(await declared(entry, [...path, name])));
      continue;
    }
    const line = new Command(name);
    (await entry()).declare(line);
    found.push([[...path, name].join(" "), line]);
  }
  return found;
}

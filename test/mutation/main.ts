import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import type { LogLevel } from "@stryker-mutator/api/core";
import { Stryker } from "@stryker-mutator/core";
// Not exported by its package, which is pinned: the list that all changes come from.
import { allMutators } from "../../node_modules/@stryker-mutator/instrumenter/dist/src/mutators/mutate.js";
import { type Equivalent, FILES, type SecurityFile } from "./files.ts";

type Mutants = Awaited<ReturnType<Stryker["runMutationTest"]>>;

/** Of the changes to a file that could be noticed, so many in a hundred must make a test fail. */
const LEAST_KILLED = 90;
/** Reports, the copies that are changed, and what else a run leaves: not under version control. */
const FOLDER = ".mutation";

/** What came of one file. */
interface Outcome {
  file: string;
  mutants: number;
  equivalent: number;
  killed: number;
  /** Of those killed, the ones that ran for too long: on a busy machine that may be no change's doing. */
  late: number;
  /** What no test noticed, a line each. */
  survivors: string[];
  /** Of the equivalent ones on the list, those that were noticed or are no longer there. */
  stale: string[];
}

/**
 * Changes security code piece by piece, and runs the tests that should notice. Arguments: the files
 * (`services/gateway/login.ts`, or `…:20-40` for some lines of it; all on the list unless given) and `--concurrency`.
 */
async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { concurrency: { type: "string", default: "2" } },
  });
  const outcomes: Outcome[] = [];
  for (const name of positionals.length > 0 ? positionals : Object.keys(FILES)) {
    const [file = "", lines] = name.split(":");
    const listed = FILES[file];
    if (!listed)
      throw new Error(`${file} is not on the list. Add it to test/mutation/files.ts with its tests.`);
    const mutants = await mutate(name, listed, Number(values.concurrency));
    outcomes.push(outcomeOf(file, await readFile(file, "utf8"), mutants, lines ? [] : listed.equivalent));
  }
  for (const outcome of outcomes) print(outcome);
  if (!outcomes.every(isEnough)) process.exitCode = 1;
}

/** Stryker changes no numbers, and a limit is one: it becomes one more, one less, and ten times as much. */
allMutators.push({
  name: "NumericLiteral",
  *mutate({ node, parent }) {
    if (node.type !== "NumericLiteral" || parent?.type === "TSLiteralType") return;
    for (const value of [node.value + 1, node.value - 1, node.value * 10]) {
      if (value >= 0 && value !== node.value) yield { type: "NumericLiteral", value } as typeof node;
    }
  },
});

const percent = ({ mutants, equivalent, killed }: Outcome) => (100 * killed) / (mutants - equivalent || 1);
const isEnough = (outcome: Outcome) => percent(outcome) >= LEAST_KILLED && outcome.stale.length === 0;

function mutate(file: string, { tests }: SecurityFile, concurrency: number): Promise<Mutants> {
  const report = `${FOLDER}/${file.replaceAll(/[/:]/g, "-")}.html`;
  // For vitest.config.ts. With Stryker's own `testFiles` a change of what runs at import would never be in force.
  process.env.MUTATION_TESTS = tests.join(",");
  return new Stryker({
    mutate: [file],
    testRunner: "vitest",
    plugins: ["@stryker-mutator/vitest-runner"],
    vitest: { configFile: "test/mutation/vitest.config.ts", related: false },
    coverageAnalysis: "perTest",
    concurrency,
    reporters: ["progress", "html"],
    htmlReporter: { fileName: report },
    tempDirName: `${FOLDER}/tmp`,
    cleanTempDir: "always",
    ignorePatterns: ["/infra", "/docs", "/.strongroom", "/.mutation", "/test/bench", "/test/infra"],
    // Stryker would rewrite it by an interface that TypeScript 7 no longer has; vitest needs none of what it says.
    tsconfigFile: "none",
    allowEmpty: true,
    logLevel: "warn" as LogLevel,
    warnings: { slow: false, unknownOptions: true, preprocessorErrors: true, unserializableOptions: true },
  }).runMutationTest();
}

function outcomeOf(file: string, text: string, mutants: Mutants, listed: Equivalent[] = []): Outcome {
  const lines = text.split("\n");
  const isListed = new Set<Equivalent>();
  const outcome: Outcome = { file, mutants: 0, equivalent: 0, killed: 0, late: 0, survivors: [], stale: [] };
  for (const { status, location, replacement, mutatorName } of mutants) {
    if (status === "Ignored" || status === "CompileError") continue;
    outcome.mutants++;
    // A RuntimeError is a file that cannot be imported any more: no test passes.
    if (status === "Killed" || status === "Timeout" || status === "RuntimeError") {
      outcome.killed++;
      if (status === "Timeout") outcome.late++;
      continue;
    }
    const { line, column } = location.start;
    const code = [lines[line - 1]?.slice(column - 1), ...lines.slice(line)].join("\n");
    // What an OpenAPI document says beside a schema is for readers.
    if (
      code.startsWith("{ description: ") ||
      lines[line - 1]?.slice(0, column - 1).endsWith("description: ")
    ) {
      outcome.equivalent++;
      continue;
    }
    const equivalent = listed.find(
      (each) => code.startsWith(each.code) && (each.by ?? replacement) === replacement,
    );
    if (equivalent) {
      outcome.equivalent++;
      isListed.add(equivalent);
    } else {
      const [first] = code.split("\n");
      outcome.survivors.push(`${line}:${column} ${mutatorName} (${status}): ${first} → ${replacement}`);
    }
  }
  outcome.stale = listed.filter((each) => !isListed.has(each)).map(({ code }) => code);
  return outcome;
}

function print(outcome: Outcome): void {
  const { file, mutants, equivalent, killed, late, survivors, stale } = outcome;
  const verdict = isEnough(outcome) ? "" : `, which is not enough`;
  process.stdout.write(
    `${file}: ${percent(outcome).toFixed(1)} % of ${mutants - equivalent} noticed (${killed}, ${late} by running late), ${equivalent} equivalent${verdict}\n`,
  );
  for (const survivor of survivors) process.stdout.write(`  ${survivor}\n`);
  for (const code of stale) process.stdout.write(`  listed as equivalent, and noticed or gone: ${code}\n`);
}

await main();

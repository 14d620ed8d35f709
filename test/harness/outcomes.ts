import { appendFileSync } from "node:fs";
import type { SerializedError } from "vitest";
import type { Reporter, TestModule } from "vitest/node";

/**
 * Adds a line per test to a file: its outcome (`passed`, `failed`, `skipped`), a tab, its name. What fails
 * outside a test counts as one failed test. Several runs may share the file.
 */
export class OutcomesReporter implements Reporter {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    const lines: string[] = [];
    const add = (outcome: string, name: string) =>
      lines.push(`${outcome}\t${name.replaceAll(/\s+/g, " ")}\n`);
    for (const module of modules) {
      if (module.errors().length > 0) add("failed", module.relativeModuleId);
      for (const suite of module.children.allSuites()) {
        if (suite.errors().length > 0) add("failed", suite.fullName);
      }
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        add(state === "pending" ? "failed" : state, test.fullName);
      }
    }
    for (const error of unhandledErrors) add("failed", `outside a test: ${error.message}`);
    appendFileSync(this.#file, lines.join(""));
  }
}

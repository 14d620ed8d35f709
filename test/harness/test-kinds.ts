import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";

/** Folders of `test/` whose tests are a Vitest project of their own, named after the folder. */
const OWN_PROJECTS = ["architecture", "infra", "e2e", "attack", "chaos", "clients"];
/** Takes what Vitest's global setup hands over (the path of a Vault, or of the AWS emulator), or replaces a module. */
const NEEDS_MORE = /(?<![.\w])inject\(|\bvi\.(doM|m)ock\(/;
/** The modules by which a program starts another one. */
const STARTS_PROGRAMS = /^(node:)?(child_process|cluster)$|^playwright-core$/;
const STATEMENTS =
  /^\s*(?:import|export)\b(\s+type\b)?[^;"'`]*?\bfrom\s*["']([^"']+)["']|^\s*import\s*["']([^"']+)["']/gm;
const CALLS = /\bimport\s*\(\s*["']([^"']+)["']/g;

/** The tests of single source files, by what they need. Paths from the top of the checkout, sorted. */
export interface TestKinds {
  /** They need nothing but their own process, in which they share the modules that they load. */
  unit: string[];
  /** They use a Vault or the AWS emulator, load a file that can start a program, or replace a module. */
  component: string[];
}

/** Sorts the test files of this checkout. */
export function testKinds(): TestKinds {
  const files = readdirSync("test", { recursive: true, encoding: "utf8" })
    .map((file) => `test/${file.replaceAll("\\", "/")}`)
    .filter((file) => file.endsWith(".test.ts") && !OWN_PROJECTS.includes(file.split("/")[1] ?? ""))
    .sort();
  return sortTests(files, (path) => readFileSync(path, "utf8"));
}

/** Sorts test files. `read` returns a file's text, and throws if there is no such file. */
export function sortTests(files: string[], read: (path: string) => string): TestKinds {
  const isComponent = (path: string, seen: Set<string>): boolean => {
    if (seen.has(path)) return false;
    seen.add(path);
    const text = read(path);
    return (
      NEEDS_MORE.test(text) ||
      importsOf(text)
        .filter(({ isType }) => !isType)
        .some(({ from }) =>
          from.startsWith(".")
            ? from.endsWith(".ts") && isComponent(posix.join(posix.dirname(path), from), seen)
            : STARTS_PROGRAMS.test(from),
        )
    );
  };
  const component = files.filter((file) => isComponent(file, new Set()));
  return { unit: files.filter((file) => !component.includes(file)), component };
}

/** What a text imports or exports from, and whether only types, which are not loaded. */
export function importsOf(text: string): { from: string; isType: boolean }[] {
  const statements = [...text.matchAll(STATEMENTS)].map(([, type, from, bare]) => ({
    from: from ?? bare ?? "",
    isType: type !== undefined,
  }));
  const calls = [...text.matchAll(CALLS)].map(([, from = ""]) => ({ from, isType: false }));
  return [...statements, ...calls];
}

import { posix } from "node:path";
import { importsOf } from "../harness/test-kinds.ts";

/** A file of the checkout: its path from the top, with `/`, and its text. */
export interface SourceFile {
  path: string;
  text: string;
}

/** A rule of the house: what it asks for, and what breaks it, a line each. */
export interface Rule {
  name: string;
  broken(files: SourceFile[]): string[];
}

const LONGEST_FILE = 300;
/** Folders of `test/` that test the whole, not one source file. */
const WHOLES = ["architecture", "attack", "bench", "chaos", "clients", "e2e", "harness"];
const VAGUE_NAMES = /^(utils?|helpers?|misc|common|stuff)$/;
/** Modules that connect or listen, and those that start what could. */
const NETWORK_MODULES =
  /^(node:)?(net|tls|https?|http2|dns|dgram|child_process|cluster|worker_threads|inspector)(\/|$)|^(undici|node-vault|axios|@aws-sdk\/.*)$/;
/** The one file of a worker that listens. */
const LISTENER = "services/worker/broker/listener.ts";
const NETWORK_CALLS =
  /\b(fetch|WebSocket|EventSource|XMLHttpRequest)\s*\(|\bgetBuiltinModule\b|\bprocess\s*\.\s*binding\b/;
/** Home and work folders of whoever wrote a file; spelt so that this file passes its own rule. */
const PRIVATE_FOLDERS = new RegExp(`(?<![\\w.}])/(${["root", "work"].join("|")})/`);

const isSource = ({ path }: SourceFile) => /^(services|infra\/(cdk|recovery))\/.*\.(ts|mjs)$/.test(path);
/** The source file that a test mirrors. */
const mirrored = (path: string) =>
  path
    .replace(/^test\//, path.startsWith("test/infra/") ? "" : "services/")
    .replace(/^infra\//, "infra/cdk/")
    .replace(/\.test\.ts$/, ".ts");

/** A rule on one source file at a time: `check` gives what breaks it there. */
const perSource =
  (check: (file: SourceFile) => string[]) =>
  (files: SourceFile[]): string[] =>
    files.filter(isSource).flatMap((file) => check(file).map((problem) => `${file.path}: ${problem}`));

/** A rule that a pattern occurs in no line that is code. */
const without = (pattern: RegExp, problem: string, except?: RegExp) =>
  perSource(({ path, text }) =>
    !except?.test(path) && code(text).some((line) => pattern.test(line)) ? [problem] : [],
  );

/** The lines of a text that are not comments. */
const code = (text: string) => text.split("\n").filter((line) => !/^\s*(\/\/|\/?\*)/.test(line));

/** All rules. */
export const RULES: Rule[] = [
  {
    name: "a service imports no other service, and services/shared imports none",
    broken: perSource((file) => {
      const service = serviceOf(file.path);
      return importsOf(file.text).flatMap(({ from: specifier }) => {
        if (!specifier.startsWith(".")) return specifier.startsWith("/") ? [`imports ${specifier}`] : [];
        const target = posix.join(posix.dirname(file.path), specifier);
        return [service, "shared"].includes(serviceOf(target)) ? [] : [`imports ${target}`];
      });
    }),
  },
  {
    name: "no file imports itself, by whatever way around",
    broken: (files) => {
      const imports = importsByFile(files.filter(isSource));
      return [...imports.keys()]
        .filter((path) => reachedFrom([path], imports).has(path))
        .map((path) => `${path}: imports itself`);
    },
  },
  {
    name: "services/shared holds what two services use; services/shared/front is for those that face the internet",
    broken: (files) => {
      const imports = importsByFile(files.filter(isSource));
      const users = new Map<string, Set<string>>();
      for (const path of imports.keys()) {
        const user = serviceOf(path) || "infra";
        if (user === "shared") continue;
        for (const used of reachedFrom([path], imports)) {
          users.set(used, (users.get(used) ?? new Set()).add(user));
        }
      }
      return [...imports.keys()]
        .filter((path) => /^services\/shared\/(?!front\/)/.test(path) && (users.get(path)?.size ?? 0) < 2)
        .map((path) => `${path}: is used by ${[...(users.get(path) ?? ["nobody"])].join()} alone`);
    },
  },
  {
    name: "every import names its module literally",
    broken: without(
      /\bimport\s*\((?!\s*["'][^"']+["']\s*[,)])|\bcreateRequire\b/,
      "imports what cannot be read here",
    ),
  },
  {
    name: "only a service's main.ts reads the environment",
    broken: without(
      /\bprocess\s*(\?\.|\.|\[\s*["'])\s*env\b|\benv\b[^;]*\}\s*=\s*process\b|\benv\b[^;]*\bfrom\s*["'](node:)?process["']/,
      "reads the environment",
      /^services\/[^/]+\/main\.ts$/,
    ),
  },
  {
    name: "a worker connects by services/worker/outbound alone, and listens in broker/listener.ts",
    broken: perSource(({ path, text }) =>
      !path.startsWith("services/worker/") || path.startsWith("services/worker/outbound/")
        ? []
        : [
            ...importsOf(text)
              .filter(({ from, isType }) => NETWORK_MODULES.test(from) && !isType)
              .filter(({ from }) => !(path === LISTENER && from === "node:https"))
              .map(({ from }) => `imports ${from}`),
            ...(code(text).some((line) => NETWORK_CALLS.test(line)) ? ["connects by a global"] : []),
            ...(path === LISTENER && !/import \{ createServer, type Server \} from "node:https"/.test(text)
              ? ["takes more than a server of node:https"]
              : []),
          ],
    ),
  },
  { name: "nothing writes by console", broken: without(/\bconsole\s*[.[]/, "uses console") },
  {
    name: "there are no default exports",
    broken: without(/^\s*export\s+default\b|\bas\s+default\b/, "exports a default"),
  },
  {
    name: `no file is longer than ${LONGEST_FILE} lines`,
    broken: perSource(({ text }) => {
      const lines = text.trimEnd().split("\n").length;
      return lines > LONGEST_FILE ? [`has ${lines} lines`] : [];
    }),
  },
  {
    name: "names say what is inside",
    broken: (files) =>
      files
        .filter(({ path }) => /^(services|test|infra)\//.test(path))
        .filter(({ path }) => path.split("/").some((part) => VAGUE_NAMES.test(part.replace(/\..*$/, ""))))
        .map(({ path }) => `${path}: has a name that says nothing`),
  },
  {
    name: "a test mirrors a source file, or tests the whole",
    broken: (files) => {
      const paths = new Set(files.map(({ path }) => path));
      return files
        .map(({ path }) => path)
        .filter((path) => path.endsWith(".test.ts") && !WHOLES.includes(path.split("/")[1] ?? ""))
        .filter((path) => !paths.has(mirrored(path)))
        .map((path) => `${path}: there is no such source file`);
    },
  },
  {
    name: "a document's links lead somewhere",
    broken: (files) => {
      const paths = files.map(({ path }) => path);
      const isThere = (target: string) =>
        target === "" || paths.some((path) => path === target || path.startsWith(`${target}/`));
      return files
        .filter(({ path }) => path.endsWith(".md"))
        .flatMap(({ path, text }) =>
          [...text.matchAll(/\]\((?![a-z]+:)([^)#\s]*)(#[^)\s]*)?\)/g)]
            .map(([, link = ""]) => (link === "" ? path : posix.join(posix.dirname(path), link)))
            .filter((target) => !isThere(target.replace(/\/$/, "")))
            .map((target) => `${path}: there is no ${target}`),
        );
    },
  },
  {
    name: "no path of somebody's own machine occurs",
    broken: (files) =>
      files.flatMap(({ path, text }) => {
        const found = PRIVATE_FOLDERS.exec(text);
        return found ? [`${path}: ${found[0]}`] : [];
      }),
  },
];

/** What each file imports from among the files. */
function importsByFile(files: SourceFile[]): Map<string, string[]> {
  const paths = new Set(files.map(({ path }) => path));
  return new Map(
    files.map(({ path, text }) => {
      const targets = importsOf(text).map(({ from }) => posix.join(posix.dirname(path), from));
      return [path, targets.filter((target) => paths.has(target))];
    }),
  );
}

/** All files that some files import, directly or not. */
function reachedFrom(paths: string[], imports: Map<string, string[]>): Set<string> {
  const reached = new Set<string>();
  const left = [...paths];
  for (let path = left.pop(); path !== undefined; path = left.pop()) {
    for (const target of imports.get(path) ?? []) {
      if (reached.has(target)) continue;
      reached.add(target);
      left.push(target);
    }
  }
  return reached;
}

/** The service a path belongs to: the folder below `services/`. */
function serviceOf(path: string): string {
  const [top, service = ""] = path.split("/");
  return top === "services" ? service : "";
}

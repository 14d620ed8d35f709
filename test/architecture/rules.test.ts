import { readdirSync, readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { RULES, type SourceFile } from "./rules.ts";

const TOP = fileURLToPath(new URL("../..", import.meta.url));
const NOT_OURS = [
  "node_modules",
  ".git",
  ".strongroom",
  ".mutation",
  "coverage",
  "cdk.out",
  "package-lock.json",
  "go.sum",
  "Cargo.lock",
];

function filesBelow(folder: string): SourceFile[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter(({ name }) => !NOT_OURS.includes(name) && !name.endsWith(".log"))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return filesBelow(path);
      if (!entry.isFile()) return [];
      return [{ path: relative(TOP, path).split(sep).join("/"), text: readFileSync(path, "utf8") }];
    });
}

describe("this checkout", () => {
  const files = filesBelow(TOP);

  test("is what the rules look at", () => {
    expect(files.filter(({ path }) => path.startsWith("services/")).length).toBeGreaterThan(20);
    expect(files.map(({ path }) => path)).toContain("test/architecture/rules.ts");
  });

  test.each(RULES.map((rule) => [rule.name, rule] as const))("%s", (_, { broken }) => {
    expect(broken(files)).toEqual([]);
  });
});

/** For each rule: files that break it, and files near to that which do not. */
const EXAMPLES: Record<string, { bad: Record<string, string>; good: Record<string, string> }> = {
  "a service imports no other service, and services/shared imports none": {
    bad: {
      "services/gateway/a.ts": 'import { b } from "../agent/b.ts";',
      "services/gateway/b.ts": 'import {\n  type B,\n  b,\n} from "../control-plane/b.ts";',
      "services/gateway/c.ts": 'export * from "../cli/c.ts";',
      "services/gateway/routes/d.ts": 'import "../../agent/d.ts";',
      "services/gateway/e.ts": 'const e = await import("../agent/e.ts");',
      "services/shared/f.ts": 'import type { F } from "../gateway/f.ts";',
      "services/gateway/g.ts": 'import { g } from "../../test/harness/g.ts";',
      "services/gateway/h.ts": 'import { h } from "/services/agent/h.ts";',
      "infra/cdk/i.ts": 'import { i } from "../../services/gateway/i.ts";',
    },
    good: {
      "services/gateway/a.ts":
        'import { b } from "./b.ts";\nimport { c } from "../shared/vault/c.ts";\nimport "node:fs";',
      "services/shared/vault/b.ts": 'import { b } from "../files.ts";',
      "infra/cdk/d.ts": 'import { d } from "../../services/shared/d.ts";\nimport { e } from "./e.ts";',
      "test/gateway/c.ts": 'import { b } from "../../services/agent/b.ts";',
    },
  },
  "no file imports itself, by whatever way around": {
    bad: {
      "services/cli/a.ts": 'import type { B } from "./b.ts";',
      "services/cli/b.ts": 'import { c } from "./c.ts";',
      "services/cli/c.ts": 'await import("./a.ts");',
    },
    good: {
      "services/cli/a.ts": 'import { b } from "./b.ts";\nimport { c } from "./c.ts";',
      "services/cli/b.ts": 'import { c } from "./c.ts";',
      "services/cli/c.ts": "",
    },
  },
  "services/shared holds what two services use; services/shared/front is for those that face the internet": {
    bad: { "services/shared/b.ts": 'import { c } from "./c.ts";', "services/shared/c.ts": "" },
    good: {
      "services/cli/a.ts": 'import { b } from "../shared/b.ts";\nimport { f } from "../shared/front/f.ts";',
      "services/agent/a.ts": 'import { c } from "../shared/c.ts";',
      "services/shared/b.ts": 'import { c } from "./c.ts";',
      "infra/cdk/d.ts": 'import { b } from "../../services/shared/b.ts";',
      "services/shared/c.ts": "",
      "services/shared/front/f.ts": "",
    },
  },
  "every import names its module literally": {
    bad: {
      "services/agent/a.ts": 'await import("../" + name);',
      "services/agent/b.ts": "await import(`../gateway/b.ts`);",
      "services/agent/c.ts": 'import { createRequire } from "node:module";',
    },
    good: { "services/agent/a.ts": 'await import("./main.ts");' },
  },
  "only a service's main.ts reads the environment": {
    bad: {
      "services/gateway/a.ts": "const home = process.env.HOME;",
      "services/gateway/b.ts": "const { env } = process;",
      "services/gateway/c.ts": 'import { env } from "node:process";',
      "services/gateway/routes/main.ts": 'const home = process["env"];',
    },
    good: {
      "services/gateway/main.ts": "readConfig(process.env, schema);",
      "services/gateway/a.ts": "// not process.env\n/** nor\n * process.env */\nconst { pid } = process;",
      "test/gateway/a.ts": "process.env.HOME",
    },
  },
  "a worker connects by services/worker/outbound alone, and listens in broker/listener.ts": {
    bad: {
      "services/worker/a.ts": 'import { request } from "undici";',
      "services/worker/b.ts": 'import { connect } from "node:net";',
      "services/worker/feed/c.ts": 'const dns = await import("dns/promises");',
      "services/worker/d.ts": "const answer = await fetch(url);",
      "services/worker/e.ts": "const socket = new WebSocket(url);",
      "services/worker/f.ts": 'import { spawn } from "node:child_process";',
      "services/worker/g.ts": 'process.getBuiltinModule("net");',
      "services/worker/broker/listener.ts": 'import { createServer, request } from "node:https";',
      "services/worker/broker/h.ts": 'import { createServer, type Server } from "node:https";',
    },
    good: {
      "services/worker/outbound/a.ts": 'import { connect } from "node:tls";',
      "services/worker/b.ts": 'import { exchange } from "./outbound/a.ts";\nfunction fetchFeed() {}',
      "services/worker/broker/c.ts": 'import type { IncomingMessage } from "node:http";',
      "services/worker/broker/listener.ts": 'import { createServer, type Server } from "node:https";',
      "services/gateway/c.ts": 'import { request } from "undici";',
    },
  },
  "nothing writes by console": {
    bad: { "services/cli/a.ts": "  console.log(1);" },
    good: { "services/cli/a.ts": 'const a = "the console";', "services/cli/b.ts": "// console.log" },
  },
  "there are no default exports": {
    bad: { "services/cli/a.ts": "export default 1;", "services/cli/b.ts": "export { b as default };" },
    good: { "services/cli/a.ts": 'export const a = "default";' },
  },
  "no file is longer than 300 lines": {
    bad: { "services/cli/a.ts": "a;\n".repeat(301) },
    good: { "services/cli/a.ts": "a;\n".repeat(300), "test/e2e/a.test.ts": "a;\n".repeat(301) },
  },
  "names say what is inside": {
    bad: { "services/cli/utils.ts": "", "services/shared/helpers/a.ts": "", "test/harness/misc.ts": "" },
    good: { "services/cli/output.ts": "" },
  },
  "a test mirrors a source file, or tests the whole": {
    bad: { "test/gateway/gone.test.ts": "", "test/lonely.test.ts": "", "test/infra/gone.test.ts": "" },
    good: {
      "test/gateway/a.test.ts": "",
      "services/gateway/a.ts": "",
      "test/e2e/b.test.ts": "",
      "test/infra/c.test.ts": "",
      "infra/cdk/c.ts": "",
    },
  },
  "a document's links lead somewhere": {
    bad: { "docs/a.md": "[c](c.md#of-it)", "README.md": "![a picture](docs/b.svg)" },
    good: {
      "docs/a.md": "[a](#here), [b](../services/cli/a.ts), [c](https://example.com/c.md), [d](../services/)",
      "services/cli/a.ts": "",
    },
  },
  "no path of somebody's own machine occurs": {
    bad: {
      "docs/a.md": ["see ", "root", "notes"].join("/"),
      "services/cli/a.ts": ['"', "work", 'main"'].join("/"),
    },
    good: { "docs/a.md": "a homework/thing, FOLDER/work/here", "services/cli/a.ts": '"/vault/root"' },
  },
};

describe("the rules themselves", () => {
  const asFiles = (texts: Record<string, string>) =>
    Object.entries(texts).map(([path, text]) => ({ path, text }));

  test.each(RULES.map((rule) => [rule.name, rule] as const))("find what breaks: %s", (name, { broken }) => {
    const { bad = {}, good = {} } = EXAMPLES[name] ?? {};
    expect(Object.keys(bad)).not.toEqual([]);
    expect(broken(asFiles(bad)).map((line) => line.split(": ")[0])).toEqual(Object.keys(bad));
    expect(broken(asFiles(good))).toEqual([]);
  });
});

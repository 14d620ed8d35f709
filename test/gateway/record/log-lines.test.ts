import { execFile } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, expect } from "vitest";
import { gatheredLines } from "../../../services/gateway/record/log-lines.ts";
import { test } from "../../harness/folder.ts";

const MODULE = fileURLToPath(new URL("../../../services/gateway/record/log-lines.ts", import.meta.url));

let dir: string;
let fd: number;
test.beforeEach(({ folder }) => {
  dir = folder;
  fd = openSync(join(dir, "log"), "w");
});
afterEach(async () => {
  closeSync(fd);
});
const written = () => readFileSync(join(dir, "log"), "utf8");

test("lines are written within a moment, all of them and in order", async () => {
  const lines = gatheredLines(fd);
  lines.write("first\n");
  await expect.poll(written).toBe("first\n");
  const many = Array.from({ length: 20_000 }, (_, i) => `line ${i}, für alle\n`);
  for (const line of many) lines.write(line);
  await expect.poll(() => written().length).toBe("first\n".length + many.join("").length);
  expect(written()).toBe(`first\n${many.join("")}`);
});

test("a deferred line is made within a moment, and sooner if there are many", async () => {
  const lines = gatheredLines(fd);
  const made: number[] = [];
  const defer = (n: number) =>
    lines.defer(() => {
      made.push(n);
      lines.write(`line ${n}\n`);
    });
  defer(0);
  expect(made).toEqual([]);
  await expect.poll(written).toBe("line 0\n");
  for (let n = 1; n <= 64; n++) defer(n);
  expect(made).toEqual(Array.from({ length: 65 }, (_, n) => n));
});

test.each([
  "process.exit(3)",
  "process.exitCode = 3",
  'throw new Error("x")',
])("what was gathered is written when the process ends by %s", async (end) => {
  const script = `import { gatheredLines } from ${JSON.stringify(MODULE)};
      const lines = gatheredLines();
      for (let i = 0; i < 9000; i++) lines.write("line " + i + "\\n");
      await new Promise((resolve) => setTimeout(resolve, 500));
      lines.defer(() => lines.write("last\\n"));
      ${end};`;
  const run = promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script]);
  const { code, stdout } = await run.catch((error) => error);
  expect(code).toBe(end.includes("throw") ? 1 : 3);
  expect(stdout).toBe(`${Array.from({ length: 9000 }, (_, i) => `line ${i}\n`).join("")}last\n`);
});

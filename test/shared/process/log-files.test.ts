import { appendFile, open, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { readTail, rotateByCopy, rotateByRename } from "../../../services/shared/process/log-files.ts";
import { test } from "../../harness/folder.ts";

let folder: string;
let path: string;
test.beforeEach(({ folder: empty }) => {
  folder = empty;
  path = join(folder, "a.log");
});

const limits = { bytes: 10, keep: 2 };
const contents = async () => {
  const files = (await readdir(folder)).sort();
  return Object.fromEntries(
    await Promise.all(files.map(async (each) => [each, await readFile(join(folder, each), "utf8")])),
  );
};

test.each([
  ["copying", rotateByCopy, { "a.log": "" }],
  ["renaming", rotateByRename, {}],
])("rotation by %s keeps the newest and drops the oldest", async (_, rotate, left) => {
  await writeFile(path, "up to ten!");
  expect(await rotate(path, limits)).toBe(false);
  for (const text of ["first, longer", "second, longer", "third, longer"]) {
    await writeFile(path, text);
    expect(await rotate(path, limits)).toBe(true);
  }
  expect(await contents()).toEqual({ ...left, "a.log.1": "third, longer", "a.log.2": "second, longer" });
  expect(await rotate(join(folder, "none"), limits)).toBe(false);
});

test("a writer that appends goes on in the emptied file", async () => {
  const writer = await open(path, "a");
  await writer.write("before the rotation");
  await rotateByCopy(path, limits);
  await writer.write("after");
  await writer.close();
  expect(await contents()).toEqual({ "a.log": "after", "a.log.1": "before the rotation" });
});

test("the tail begins where it is asked to, at most 16 KiB back, or anew after a rotation", async () => {
  await writeFile(path, "old\n");
  await appendFile(path, "new\n");
  expect(await readTail(path, 4)).toBe("new\n");
  expect(await readTail(path, 100)).toBe("old\nnew\n");
  expect(await readTail(join(folder, "none"), 0)).toBe("");
  await appendFile(path, "x".repeat(20_000));
  expect(await readTail(path, 0)).toBe("x".repeat(16 * 1024));
});

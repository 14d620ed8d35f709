import { chmod, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { StateFolder } from "../../services/cli/platform/state-folder.ts";
import { processIdentity } from "../../services/shared/process/identity.ts";

let folder: string;
let state: StateFolder;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "strongroom-state-"));
  state = new StateFolder(join(folder, "state"));
  await state.prepare();
});
afterEach(() => rm(folder, { recursive: true }));

test("its folders are for the owner alone", async () => {
  for (const name of [".", "run", "logs", "internal-vault", "instances", "parameters"]) {
    expect((await stat(state.at(name))).mode & 0o777, name).toBe(0o700);
  }
});

test("a folder that others may read is refused, with what closes it", async () => {
  await chmod(state.path, 0o755);
  await expect(state.prepare()).rejects.toMatchObject({
    exit: "config",
    hint: `Close it: chmod 700 ${state.path}`,
  });
});

test("a second holder is refused and told the pid of the first", async () => {
  const unlock = await state.lock();
  await expect(state.lock()).rejects.toMatchObject({
    exit: "conflict",
    message: `A platform already runs on ${state.path} (pid ${process.pid})`,
  });
  await unlock();
  await (await state.lock())();
  expect(await readdir(state.at("run"))).toEqual([]);
});

test.each([
  ["dead", { pid: 2 ** 22 - 1, startTime: "boot/1" }],
  ["one whose pid another process has now", { pid: process.pid, startTime: "boot/1" }],
])("the lock of a %s is taken over", async (_, holder) => {
  await writeFile(state.at("run", "up.json"), JSON.stringify(holder));
  await (await state.lock())();
});

test("a lock that was half written is taken over", async () => {
  await writeFile(state.at("run", "up.json"), "{");
  await (await state.lock())();
});

test("the lock of a living process holds, whatever its program is", async () => {
  const parent = await processIdentity(process.ppid);
  await writeFile(
    state.at("run", "up.json"),
    JSON.stringify({ pid: parent?.pid, startTime: parent?.startTime }),
  );
  await expect(state.lock()).rejects.toMatchObject({ exit: "conflict" });
});

test("platform.json counts only when it is whole", async () => {
  expect(await state.platform()).toBeUndefined();
  await writeFile(state.platformFile, JSON.stringify({ gateway: "http://127.0.0.1:1" }));
  expect(await state.platform()).toBeUndefined();
});

import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { StateFolder } from "../../../services/cli/platform/state-folder.ts";

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
    hint: `Restrict it: chmod 700 ${state.path}`,
  });
});

test("a second holder is refused and told the pid of the first", async () => {
  const unlock = await state.lock();
  await expect(state.lock()).rejects.toMatchObject({
    exit: "conflict",
    message: `A platform is already running with the state folder ${state.path} (pid ${process.pid})`,
  });
  unlock();
  (await state.lock())();
  for (const name of await readdir(state.at("run"))) {
    expect((await stat(state.at("run", name))).mode & 0o777, name).toBe(0o600);
  }
});

test("of many at once one gets it", async () => {
  const attempts = await Promise.allSettled(Array.from({ length: 20 }, () => state.lock()));
  const held = attempts.filter((each) => each.status === "fulfilled");
  expect(held).toHaveLength(1);
  held[0]?.value();
});

test("a killed holder has it no more", async () => {
  const module = fileURLToPath(new URL("../../../services/cli/platform/state-folder.ts", import.meta.url));
  const script = `
    const { StateFolder } = await import(${JSON.stringify(module)});
    await new StateFolder(${JSON.stringify(state.path)}).lock();
    process.stdout.write("held");
    setInterval(() => {}, 1000);`;
  const holder = spawn(process.execPath, ["--input-type=module", "-e", script]);
  await once(holder.stdout, "data");
  await expect(state.lock()).rejects.toMatchObject({
    message: expect.stringContaining(`(pid ${holder.pid})`),
  });
  holder.kill("SIGKILL");
  await once(holder, "exit");
  (await state.lock())();
});

test("platform.json counts only when it is whole", async () => {
  expect(await state.platform()).toBeUndefined();
  await writeFile(state.platformFile, JSON.stringify({ gateway: "http://127.0.0.1:1" }));
  expect(await state.platform()).toBeUndefined();
});

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";

const MAIN = fileURLToPath(new URL("../../services/identity-provider/main.ts", import.meta.url));

let dir: string;
let child: ChildProcess | undefined;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "strongroom-idp-"));
});
afterEach(async () => {
  if (child?.exitCode === null) {
    child.kill("SIGKILL");
    await once(child, "exit");
  }
  await rm(dir, { recursive: true });
});

async function start(settings: Record<string, string>): Promise<{ output: () => string }> {
  const file = join(dir, "idp.env");
  await writeFile(
    file,
    Object.entries(settings)
      .map((pair) => pair.join("="))
      .join("\n"),
  );
  let output = "";
  child = spawn(process.execPath, [`--env-file=${file}`, MAIN], { env: { PATH: "/usr/bin:/bin" } });
  child.stdout?.on("data", (chunk) => (output += chunk));
  child.stderr?.on("data", (chunk) => (output += chunk));
  return { output: () => output };
}

async function address(): Promise<string> {
  for (;;) {
    const text = await readFile(join(dir, "address"), "utf8").catch(() => "");
    if (text) return text;
    await sleep(20);
  }
}

async function stop(): Promise<number | null> {
  child?.kill("SIGTERM");
  if (child?.exitCode === null) await once(child, "exit");
  return child?.exitCode ?? null;
}

test("its key is made once, for its owner's eyes, and stays; it ends with 0", async () => {
  const keyFile = join(dir, "key.json");
  const settings = {
    STRONGROOM_LISTEN: "127.0.0.1:0",
    STRONGROOM_ADDRESS_FILE: join(dir, "address"),
    STRONGROOM_SIGNING_KEY_FILE: keyFile,
  };
  await start(settings);
  const first = await (await fetch(`${await address()}/jwks`)).text();
  expect((await stat(keyFile)).mode & 0o777).toBe(0o600);
  expect(await stop()).toBe(0);
  await rm(join(dir, "address"));

  const { output } = await start(settings);
  expect(await (await fetch(`${await address()}/jwks`)).text()).toBe(first);
  expect(await stop()).toBe(0);
  const { d } = JSON.parse(await readFile(keyFile, "utf8"));
  expect(output()).not.toContain(d);
});

test("a wrong setting, or a key file that holds none, is said in a line, and it ends with 78", async () => {
  await writeFile(join(dir, "key.json"), '{"kty":"EC"}');
  const key = { STRONGROOM_SIGNING_KEY_FILE: join(dir, "key.json") };
  for (const settings of [key, { ...key, STRONGROOM_LISTEN: "127.0.0.1:0" }]) {
    const { output } = await start(settings);
    if (child) await once(child, "exit");
    expect(child?.exitCode).toBe(78);
    expect(output()).toMatch(/^STRONGROOM_(LISTEN|SIGNING_KEY_FILE): [^\n]+\n$/);
  }
});

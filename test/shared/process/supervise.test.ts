import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, stat, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { processIdentity } from "../../../services/shared/process/recorded-process.ts";
import {
  type ChildState,
  Supervisor,
  type SupervisorOptions,
} from "../../../services/shared/process/supervise.ts";
import { isAlive, type Programs, programs, until } from "./programs.ts";

let own: Programs;
let supervisors: Supervisor[];
beforeEach(async () => {
  own = await programs();
  supervisors = [];
});
afterEach(async () => {
  await Promise.all(supervisors.map((each) => each.stop()));
  await own.remove();
});

const IDLE = "setInterval(() => {}, 1000)";

async function supervise(source: string, options: Partial<SupervisorOptions> = {}) {
  const marker = await own.script("child.cjs", source);
  const states: (ChildState & { at: number })[] = [];
  const supervisor = new Supervisor({
    prepare: async () => ({
      command: process.execPath,
      args: [marker],
      environment: { GIVEN: "yes" },
      folder: own.folder,
    }),
    marker,
    recordFile: join(own.folder, "run", "child.process.json"),
    logFile: join(own.folder, "logs", "child.log"),
    graceMs: 5_000,
    random: () => 1,
    onChange: (state) => states.push({ ...state, at: performance.now() }),
    ...options,
  });
  supervisors.push(supervisor);
  const running = () =>
    until(() => (supervisor.state.state === "running" ? supervisor.state.pid : undefined));
  const log = () => {
    const path = join(own.folder, "logs", "child.log");
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  };
  return { supervisor, states, marker, running, log };
}

test("a program runs with exactly the environment given, in a session of its own, its output in a log", async () => {
  process.env.STRAY = "from the parent";
  const { supervisor, running, log } = await supervise(
    `console.log(JSON.stringify(process.env)); console.error("to stderr"); ${IDLE}`,
  );
  supervisor.start();
  const pid = await running();
  await until(() => log().includes("to stderr"));
  delete process.env.STRAY;
  expect(JSON.parse(log().split("\n")[0] ?? "")).toEqual({ GIVEN: "yes" });
  expect((await stat(join(own.folder, "logs", "child.log"))).mode & 0o777).toBe(0o600);
  const session = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ")[3];
  expect(Number(session)).toBe(pid);
  expect(supervisor.state).toMatchObject({ state: "running", starts: 1 });
});

test("a program that ends itself starts again at once, and only its failures are told", async () => {
  const source = `require("fs").existsSync("again") ? process.exit(3) : require("fs").writeFileSync("again", "");
    setTimeout(() => process.exit(0), 250)`;
  const { supervisor, states } = await supervise(source, { endsItself: true });
  supervisor.start();
  await until(() => states.some(({ state }) => state === "backoff"));
  const before = states.slice(0, states.findIndex(({ state }) => state === "backoff") + 1);
  expect(before.map(({ state }) => state)).toEqual(["starting", "running", "starting", "running", "backoff"]);
  expect(supervisor.state).toMatchObject({ exitCode: 3 });
});

test("a program that ends itself as soon as it has started is one that fails", async () => {
  const { supervisor, states } = await supervise("process.exit(0)", { endsItself: true });
  supervisor.start();
  await until(() => states.some(({ state, exitCode }) => state === "backoff" && exitCode === 0));
});

test("a killed program is started again at once, and stopping ends it for good", async () => {
  const { supervisor, running, states } = await supervise(IDLE);
  supervisor.start();
  const first = await running();
  const begun = performance.now();
  process.kill(first, "SIGKILL");
  const second = await until(() => {
    const { state, pid } = supervisor.state;
    return state === "running" && pid !== first ? pid : undefined;
  });
  expect(performance.now() - begun).toBeLessThan(3_000);
  expect(supervisor.state).toMatchObject({ starts: 2, exitCode: null, reason: "ended by SIGKILL" });

  await supervisor.stop();
  expect(isAlive(second)).toBe(false);
  expect(supervisor.state.state).toBe("stopped");
  expect(states.map((each) => each.state)).toEqual([
    "starting",
    "running",
    "backoff",
    "starting",
    "running",
    "stopped",
  ]);
  expect(existsSync(join(own.folder, "run", "child.process.json"))).toBe(false);
});

test("failing starts are spaced out more and more, up to a limit, and say why", async () => {
  const { supervisor, states } = await supervise(`console.log("the reason"); process.exit(3)`, {
    backoff: { firstMs: 100, maxMs: 200, steadyMs: 10_000 },
  });
  supervisor.start();
  await until(() => supervisor.state.starts === 6);
  const pauses = states.flatMap((state, index) =>
    state.state === "starting" && index > 0 ? [state.at - (states[index - 1]?.at ?? 0)] : [],
  );
  for (const [index, atLeast] of [100, 200, 200, 200, 200].entries()) {
    expect(pauses[index]).toBeGreaterThan(atLeast - 2);
  }
  expect(pauses[4]).toBeLessThan(1_500);
  expect(supervisor.state).toMatchObject({ exitCode: 3, reason: "exited with 3: the reason" });
});

test("a run that lasted begins the backoff anew", async () => {
  const { supervisor, states } = await supervise("setTimeout(() => {}, 100)", {
    backoff: { firstMs: 200, maxMs: 10_000, steadyMs: 50 },
  });
  supervisor.start();
  await until(() => supervisor.state.starts === 6);
  const pauses = states.flatMap((state, index) =>
    state.state === "starting" && index > 0 ? [state.at - (states[index - 1]?.at ?? 0)] : [],
  );
  expect(pauses[4]).toBeLessThan(3_000);
});

test("the pause is shortened at random, by half at most", async () => {
  const { supervisor, states } = await supervise("process.exit(1)", {
    backoff: { firstMs: 3_000, maxMs: 3_000, steadyMs: 10_000 },
    random: () => 0,
  });
  supervisor.start();
  await until(() => supervisor.state.starts === 2);
  const begun = states.findIndex((each) => each.state === "backoff");
  const pause = (states[begun + 1]?.at ?? 0) - (states[begun]?.at ?? 0);
  expect(pause).toBeGreaterThan(1_498);
  expect(pause).toBeLessThan(2_990);
});

test("a start that cannot be prepared, or a program that is not there, is tried again", async () => {
  let tries = 0;
  const { supervisor, running, states, marker } = await supervise(IDLE, {
    backoff: { firstMs: 20, maxMs: 20, steadyMs: 10_000 },
    prepare: async () => {
      tries++;
      if (tries === 1) throw new Error("the parameter is missing");
      const command = tries === 2 ? join(own.folder, "no-such-program") : process.execPath;
      return { command, args: [marker], environment: {}, folder: own.folder };
    },
  });
  supervisor.start();
  await running();
  const reasons = states.filter((each) => each.state === "backoff").map((each) => each.reason);
  expect(reasons).toEqual(["the parameter is missing", expect.stringContaining("ENOENT")]);
  expect(supervisor.state.starts).toBe(1);
});

test("the reason is what the explainer makes of this run's output", async () => {
  const { supervisor, states } = await supervise(
    `const fs = require("node:fs"); const first = !fs.existsSync("seen"); fs.writeFileSync("seen", "");
     console.log(first ? "one" : "two"); process.exit(1)`,
    {
      explain: (log) => `[${log.trim()}]`,
      backoff: { firstMs: 10, maxMs: 10, steadyMs: 10_000 },
    },
  );
  supervisor.start();
  await until(() => states.filter((each) => each.state === "backoff").length >= 2);
  const reasons = states.filter((each) => each.state === "backoff").map((each) => each.reason);
  expect(reasons.slice(0, 2)).toEqual(["exited with 1: [one]", "exited with 1: [two]"]);
});

test("what ignores SIGTERM is killed after the grace", async () => {
  const { supervisor, running, log } = await supervise(
    `process.on("SIGTERM", () => {}); console.log("ready"); ${IDLE}`,
    { graceMs: 200 },
  );
  supervisor.start();
  const pid = await running();
  await until(() => log().includes("ready"));
  await supervisor.stop();
  expect(isAlive(pid)).toBe(false);
});

test("a restart ends the process gracefully, and starts it at once by what holds then", async () => {
  let version = 1;
  const { supervisor, running, states, marker, log } = await supervise(
    `process.on("SIGTERM", () => process.exit(0)); console.log("version " + process.env.VERSION); ${IDLE}`,
    {
      prepare: async () => ({
        command: process.execPath,
        args: [marker],
        environment: { VERSION: String(version) },
        folder: own.folder,
      }),
    },
  );
  supervisor.start();
  await running();
  await until(() => log().includes("version 1"));
  version = 2;
  await supervisor.restart();
  await until(() => log().includes("version 2"));
  expect(states.map((each) => each.state)).toEqual(["starting", "running", "starting", "running"]);
});

test("a restart cuts a pause short", async () => {
  const { supervisor, states } = await supervise(
    `if (!require("node:fs").existsSync("fixed")) process.exit(1); ${IDLE}`,
    { backoff: { firstMs: 60_000, maxMs: 60_000, steadyMs: 10_000 } },
  );
  supervisor.start();
  await until(() => supervisor.state.state === "backoff");
  await writeFile(join(own.folder, "fixed"), "");
  await supervisor.restart();
  await until(() => supervisor.state.state === "running");
  expect(states.filter((each) => each.state === "backoff")).toHaveLength(1);
});

test("a restart asked for while a start is being prepared prepares it again", async () => {
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const versions = ["old", "new"];
  const { supervisor, running, log, marker } = await supervise(`console.log(process.env.VERSION); ${IDLE}`, {
    prepare: async () => {
      const version = versions.shift() ?? "";
      if (version === "old") await held;
      return {
        command: process.execPath,
        args: [marker],
        environment: { VERSION: version },
        folder: own.folder,
      };
    },
  });
  supervisor.start();
  await until(() => versions.length === 1);
  await supervisor.restart();
  release();
  await running();
  await until(() => log() !== "");
  expect(log()).toBe("new\n");
  expect(supervisor.state.starts).toBe(1);
});

test("stopping while a start is being prepared starts nothing", async () => {
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const { supervisor, marker, log } = await supervise(`console.log("ran")`, {
    prepare: async () => {
      await held;
      return { command: process.execPath, args: [marker], environment: {}, folder: own.folder };
    },
  });
  supervisor.start();
  await until(() => supervisor.state.state === "starting");
  const stopped = supervisor.stop();
  release();
  await stopped;
  expect(supervisor.state).toMatchObject({ state: "stopped", starts: 0 });
  expect(log()).toBe("");
});

test("a program outlives its killed supervisor, and the next one takes it over", async () => {
  const ticking = `setInterval(() => console.log("tick"), 20)`;
  const { supervisor, marker, log, running } = await supervise(ticking);
  const first = await superviseElsewhere(marker);
  const pid = await until(async () => {
    const record = JSON.parse(
      existsSync(join(own.folder, "run", "child.process.json"))
        ? readFileSync(join(own.folder, "run", "child.process.json"), "utf8")
        : "{}",
    );
    return record.pid as number | undefined;
  });
  await until(() => log().includes("tick"));
  first.kill("SIGKILL");
  await until(() => first.signalCode === "SIGKILL");
  const size = log().length;
  await until(() => log().length > size + 20);

  supervisor.start();
  expect(await running()).toBe(pid);
  expect(supervisor.state.starts).toBe(0);

  process.kill(pid, "SIGKILL");
  const begun = performance.now();
  await until(() => supervisor.state.starts === 1);
  expect(performance.now() - begun).toBeLessThan(3_000);
  await supervisor.stop();
});

test("a restart asked for together with the start ends the survivor instead of taking it over", async () => {
  const { supervisor, marker, running } = await supervise(IDLE);
  const first = await superviseElsewhere(marker);
  const record = join(own.folder, "run", "child.process.json");
  await until(() => existsSync(record));
  const { pid } = JSON.parse(readFileSync(record, "utf8"));
  first.kill("SIGKILL");
  await until(() => first.signalCode === "SIGKILL");

  supervisor.start();
  await supervisor.restart();
  expect(await running()).not.toBe(pid);
  expect(isAlive(pid)).toBe(false);
});

test("a stranger that was given the recorded pid is neither taken over nor ended", async () => {
  const { supervisor, marker, running } = await supervise(IDLE);
  const stranger = own.run(await own.script("stranger.cjs", IDLE));
  const identity = await processIdentity(stranger.pid ?? 0);
  for (const startTime of ["some-boot/1", identity?.startTime]) {
    const record = { pid: stranger.pid, startTime, marker, startedAt: new Date().toISOString() };
    const path = join(own.folder, "run", "child.process.json");
    await mkdir(join(own.folder, "run"), { recursive: true });
    await writeFile(path, JSON.stringify(record));
    supervisor.start();
    expect(await running()).not.toBe(stranger.pid);
    await supervisor.stop();
    await sleep(50);
    expect(isAlive(stranger.pid ?? 0)).toBe(true);
  }
});

/** The same program under a supervisor in another process, which can be killed. */
async function superviseElsewhere(marker: string) {
  const supervise = resolve("services/shared/process/supervise.ts");
  const script = await own.script(
    "supervisor.mjs",
    `import { Supervisor } from ${JSON.stringify(supervise)};
     new Supervisor({
       prepare: async () => ({ command: process.execPath, args: [${JSON.stringify(marker)}], environment: {}, folder: "." }),
       marker: ${JSON.stringify(marker)},
       recordFile: ${JSON.stringify(join(own.folder, "run", "child.process.json"))},
       logFile: ${JSON.stringify(join(own.folder, "logs", "child.log"))},
       graceMs: 1000,
       onChange() {},
     }).start();`,
  );
  return spawn(process.execPath, [script], { stdio: "inherit", cwd: own.folder });
}

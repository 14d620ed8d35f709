import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { freePort } from "../../../services/cli/platform/ports.ts";
import { Service } from "../../../services/cli/platform/service.ts";
import { answersHealthy } from "../../../services/cli/platform/service-health.ts";
import { StateFolder } from "../../../services/cli/platform/state-folder.ts";
import { readProcessRecord } from "../../../services/shared/process/identity.ts";

const never = new AbortController().signal;
let state: StateFolder;
let events: string[];
let service: Service | undefined;
beforeEach(async () => {
  // Quotes and spaces: the path comes back out of the settings file as it is.
  state = new StateFolder(await mkdtemp(join(tmpdir(), `strongroom "it's" $HOME #1 `)));
  await state.prepare();
  events = [];
});
afterEach(async () => {
  await service?.stop();
  await rm(state.path, { recursive: true });
});

async function identityProvider(settings: Record<string, string> = {}) {
  const port = await freePort();
  const address = `http://127.0.0.1:${port}`;
  service = new Service(
    "identity-provider",
    { state, compileCache: state.at("compiled") },
    {
      address,
      settings: {
        STRONGROOM_LISTEN: `127.0.0.1:${port}`,
        STRONGROOM_SIGNING_KEY_FILE: state.at("identity-provider", "signing-key.json"),
        ...settings,
      },
    },
    (text) => events.push(text),
  );
  return { service, address };
}

test("is ready when start returns, and started again when it dies", async () => {
  const { service, address } = await identityProvider();
  await service.start(never);
  expect(await answersHealthy("identity-provider", address)).toBe(true);
  expect(await readFile(state.at("identity-provider", "signing-key.json"), "utf8")).toContain("RSA");
  const record = await readProcessRecord(state.processFile("identity-provider"));
  process.kill(record?.pid ?? 0, "SIGKILL");
  await expect.poll(() => events).toEqual(["identity-provider: ended by SIGKILL; starting it again"]);
  await expect.poll(() => answersHealthy("identity-provider", address)).toBe(true);
  await service.stop();
  expect(await answersHealthy("identity-provider", address)).toBe(false);
});

test("a wrong setting ends its start at once, in its own words", async () => {
  const { service } = await identityProvider({ STRONGROOM_LISTEN: "everywhere" });
  await expect(service.start(never)).rejects.toMatchObject({
    exit: "unavailable",
    message: expect.stringMatching(
      /did not get ready: exited with 78: STRONGROOM_LISTEN: must match pattern/,
    ),
    hint: `Its log: ${state.logFile("identity-provider")}`,
  });
});

test("an aborted start ends", async () => {
  const { service } = await identityProvider();
  const abort = new AbortController();
  const started = service.start(abort.signal);
  abort.abort();
  await expect(started).rejects.toMatchObject({ name: "AbortError" });
});

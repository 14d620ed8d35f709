import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { StateFolder } from "../../services/cli/platform/state-folder.ts";
import { killEverything } from "../../services/cli/platform/survivors.ts";
import { type Platform, startPlatform } from "../harness/platform.ts";

/** An organization that is ready is served, or told to come again (503): its members never meet a 403. */

const RESTARTS = 3;
const READERS = 4;

let state: string;
let platform: Platform;
const burners: ChildProcess[] = [];
beforeAll(async () => {
  state = await mkdtemp(join(tmpdir(), "strongroom-ready-"));
  platform = await startPlatform({ stateDir: state });
  await platform.createOrg("steady", "org_steady");
  // Both cores are busy, so that what comes first elsewhere may come last here.
  for (let n = 0; n < 2; n++) burners.push(spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" }));
});
afterAll(async () => {
  for (const burner of burners) burner.kill("SIGKILL");
  await platform?.stop();
  await killEverything(new StateFolder(state));
  await rm(state, { recursive: true, force: true, maxRetries: 5 });
});

/** The status of a read; 0 while nothing answers. */
async function read(token: string): Promise<number> {
  const headers = { "x-vault-token": token };
  const answer = await fetch(`${platform.gateway}/v1/secret/data/app`, { headers }).catch(() => undefined);
  await answer?.body?.cancel();
  return answer?.status ?? 0;
}

test("from the moment that its job says so, whatever the gateway has polled", async () => {
  for (let n = 0; n < 4; n++) {
    const claim = `org_new_${n}`;
    const token = await platform.token({ org: claim });
    const job = await platform.client.createOrg({ name: `new-${n}`, claim });
    for await (const event of platform.client.jobEvents(job.id)) {
      if (!event.step && event.state !== "running") expect(event.state).toBe("succeeded");
    }
    expect(await read(token)).toBe(404); // it is let in, and there is nothing
  }
});

test("while the platform is restarted under load, with reads all the time", async () => {
  const statuses = new Map<number, number>();
  const token = await platform.token({ org: "org_steady" });
  let reading = true;
  const readers = Array.from({ length: READERS }, async () => {
    while (reading) {
      const status = await read(token);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  });
  try {
    for (let n = 0; n < RESTARTS; n++) {
      await platform.stop();
      platform = await startPlatform({ stateDir: state });
      const fresh = await platform.token({ org: "org_steady" });
      expect(await read(fresh)).toBe(404);
    }
  } finally {
    reading = false;
    await Promise.all(readers);
  }
  expect(statuses.get(404)).toBeGreaterThan(0);
  for (const status of statuses.keys()) expect([0, 404, 503, 504]).toContain(status);
});

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { cacheFolder, withCacheLock } from "../../../services/shared/vault/cache.ts";
import { recordedProgress } from "../../harness/stand-in-tools.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "strongroom-cache-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

test.each([
  [{ XDG_CACHE_HOME: "/caches", HOME: "/people/me" }, "/caches/strongroom"],
  [{ HOME: "/people/me" }, "/people/me/.cache/strongroom"],
  [{ XDG_CACHE_HOME: "relative", HOME: "/people/me" }, "/people/me/.cache/strongroom"],
  [{}, join(userInfo().homedir, ".cache", "strongroom")],
])("with %j the cache is %s", (env, expected) => {
  expect(cacheFolder(env)).toBe(expected);
});

test("one at a time works under a folder, whoever waits says so, and a failure gives way", async () => {
  const progress = recordedProgress();
  const waits = vi.spyOn(progress, "step");
  const events: string[] = [];
  let release = () => {};
  const first = withCacheLock(folder, { progress }, async () => {
    events.push("first begins");
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    events.push("first ends");
    throw new Error("no luck");
  });
  await expect.poll(() => events).toEqual(["first begins"]);
  const second = withCacheLock(folder, { progress }, async () => {
    events.push("second begins");
    return "done";
  });
  await expect.poll(() => waits.mock.calls.length).toBe(1);
  await sleep(400);
  expect(events).toEqual(["first begins"]);
  release();
  await expect(first).rejects.toThrow("no luck");
  await expect(second).resolves.toBe("done");
  expect(events).toEqual(["first begins", "first ends", "second begins"]);
  expect(progress.lines).toEqual(["Waiting for another process that is getting Vault: done"]);
});

test("waiting ends with the signal", async () => {
  const progress = recordedProgress();
  const stop = new AbortController();
  await withCacheLock(folder, { progress }, async () => {
    const waiting = withCacheLock(folder, { progress, signal: stop.signal }, async () => "never");
    stop.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
  });
  expect(progress.lines).toEqual(["Waiting for another process that is getting Vault: failed "]);
});

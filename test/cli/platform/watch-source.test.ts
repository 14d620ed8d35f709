import { utimes } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";
import { watchSource } from "../../../services/cli/platform/watch-source.ts";

const source = (path: string) => fileURLToPath(new URL(`../../../services/${path}`, import.meta.url));
/** Tells that a file has changed, and leaves it as it is. */
const touch = (path: string) => utimes(source(path), new Date(), new Date());

const end = new AbortController();
afterEach(() => end.abort());

test("tells of a service's own files and of shared ones, of none of another service", async () => {
  const changed: string[] = [];
  watchSource("identity-provider", end.signal, (file) => changed.push(file));
  await touch("agent/main.ts");
  for (const file of ["identity-provider/main.ts", "shared/http/server.ts"]) {
    await expect
      .poll(
        async () => {
          await touch(file);
          return changed;
        },
        { timeout: 20_000, interval: 1_000 },
      )
      .toContain(`services/${file}`);
  }
  expect(changed).not.toContain("services/agent/main.ts");
});

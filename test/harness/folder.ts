import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test as plain } from "vitest";

/** Vitest's test, with an empty folder for each test that names it; it goes when the test has ended. */
export const test = plain.extend("folder", async ({ onTestFinished }) => {
  const folder = await mkdtemp(join(tmpdir(), "strongroom-test-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
});

import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";

const TOP = fileURLToPath(new URL("../..", import.meta.url));
const CDK = join(TOP, "node_modules/aws-cdk/bin/cdk");
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "strongroom-synth-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** `npm run synth`, with nothing of AWS's in its environment and its temporary files where they can be seen. */
function synth(...options: string[]) {
  return spawnSync(process.execPath, [CDK, "synth", "--quiet", "--output", join(folder, "out"), ...options], {
    cwd: TOP,
    encoding: "utf8",
    env: { PATH: process.env.PATH, HOME: folder, TMPDIR: folder, CI: "true" },
  });
}

test("synthesizes without an account, passes AWS's own rules, and leaves nothing else behind", () => {
  const { status, stdout, stderr } = synth();
  expect({ status, output: stdout + stderr }).toEqual({
    status: 0,
    output: expect.not.stringMatching(/ERROR|WARNING/),
  });
  const templates = readdirSync(join(folder, "out")).filter((file) => file.endsWith(".template.json"));
  expect(templates.toSorted()).toEqual(
    [
      "Cell",
      "Intake",
      "InternalVault",
      "Network",
      "Observability",
      "Services",
      "WorkerBroker",
      "WorkerFeed",
      "WorkerIntegration",
      "WorkerWebhook",
    ].map((name) => `Strongroom${name}.template.json`),
  );
  expect(readdirSync(folder).filter((name) => name !== "out" && !name.startsWith("."))).toEqual([]);
});

test("says which setting is wrong", () => {
  const { status, stderr } = synth("--context", "strongroom=none");
  expect(status).not.toBe(0);
  expect(stderr).toContain("cdk.json, context strongroom");
});

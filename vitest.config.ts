import { defineConfig } from "vitest/config";
import { OutcomesReporter } from "./test/harness/outcomes.ts";
import { testKinds } from "./test/harness/test-kinds.ts";

/** Two cores and a real Vault per organization: more workers only make each other wait. */
const workers = 2;
/** A file that the outcome of each test is added to. */
const outcomes = process.env.TEST_OUTCOMES;
const { unit, component } = testKinds();

/** `expect.poll` waits for processes and Vaults, on machines whose disk is slow: Vitest's own second is too short. */
const expect = { poll: { timeout: 20_000 } };

export default defineConfig({
  test: {
    maxWorkers: workers,
    reporters: outcomes ? ["default", new OutcomesReporter(outcomes)] : ["default"],
    projects: [
      { test: { name: "architecture", include: ["test/architecture/**/*.test.ts"] } },
      // No Vault, no process: half of their time would go into loading the same modules for each file.
      { test: { name: "unit", include: unit, isolate: false, testTimeout: 30_000, hookTimeout: 30_000 } },
      {
        test: {
          name: "component",
          include: component,
          globalSetup: ["test/harness/vault-binary.ts", "test/harness/aws/install-moto.ts"],
          expect,
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: "infra",
          include: ["test/infra/**/*.test.ts"],
          globalSetup: ["test/harness/vault-binary.ts", "test/harness/aws/install-moto.ts"],
          // The construct library takes seconds to load; nothing here changes what files share.
          isolate: false,
          expect,
          testTimeout: 120_000,
        },
      },
      ...["e2e", "attack", "chaos", "clients"].map((name) => ({
        test: {
          name,
          include: [`test/${name}/**/*.test.ts`],
          globalSetup: ["test/harness/vault-binary.ts", "test/harness/aws/install-moto.ts"],
          expect,
          testTimeout: 120_000,
          hookTimeout: 180_000,
        },
      })),
    ],
  },
});

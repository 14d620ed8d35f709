import { defineConfig } from "vitest/config";

/** Two cores and a real Vault per organization: more workers only make each other wait. */
const workers = 2;

export default defineConfig({
  test: {
    maxWorkers: workers,
    projects: [
      { test: { name: "architecture", include: ["test/architecture/**/*.test.ts"] } },
      {
        test: {
          name: "unit",
          include: ["test/{shared,gateway,control-plane,agent,cli,identity-provider}/**/*.test.ts"],
          globalSetup: ["test/harness/vault-binary.ts"],
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      ...["e2e", "attack", "chaos"].map((name) => ({
        test: {
          name,
          include: [`test/${name}/**/*.test.ts`],
          globalSetup: ["test/harness/vault-binary.ts"],
          testTimeout: 120_000,
          hookTimeout: 180_000,
        },
      })),
    ],
  },
});

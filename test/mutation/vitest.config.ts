import { defineConfig } from "vitest/config";

/** The tests of one changed file. They need no Vault: nothing is found, built or started before them. */
export default defineConfig({
  test: {
    include: process.env.MUTATION_TESTS?.split(",") ?? [],
    expect: { poll: { timeout: 20_000 } },
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});

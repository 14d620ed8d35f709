import type {} from "vitest";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    vaultBinary: string;
  }
}

/** Finds (or builds, once per machine) the Vault that the tests run, and hands its path to all of them. */
export default function setup(project: TestProject): void {
  project.provide("vaultBinary", process.env.VAULT_BIN ?? "vault");
}

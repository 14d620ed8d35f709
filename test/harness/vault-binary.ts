import type {} from "vitest";
import type { TestProject } from "vitest/node";
import { createProgress } from "../../services/cli/progress.ts";
import { findVault } from "../../services/cli/vault-binary/find.ts";

declare module "vitest" {
  interface ProvidedContext {
    vaultBinary: string;
  }
}

/** Finds (or builds, once per machine) the Vault that the tests run, and hands its path to all of them. */
export default async function setup(project: TestProject): Promise<void> {
  const progress = createProgress(process.stderr);
  const { path } = await findVault({ env: process.env, progress });
  project.provide("vaultBinary", path);
}

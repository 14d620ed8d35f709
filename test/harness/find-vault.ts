import { createProgress } from "../../services/cli/progress.ts";
import { findVault } from "../../services/cli/vault-binary/find.ts";

// A search for Vault as a process of its own: options as JSON in the first argument, the outcome as JSON on
// stdout. It is for stand-ins, which no check can be run on.
const options = JSON.parse(process.argv[2] ?? "{}");
const found = await findVault({
  ...options,
  check: async () => {},
  progress: createProgress(process.stderr),
});
process.stdout.write(JSON.stringify(found));

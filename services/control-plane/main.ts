/**
 * The control plane: onboards organizations, deletes them, keeps their Vaults as they should be, and publishes what
 * gateways need to know. Operators and gateways call it, on a private address.
 *
 * It holds its own login at the internal Vault, whose policy is one file (vault-policies/control-plane.hcl), and at
 * each organization's Vault a login that reads health and configuration. It may never write a policy, role or mount
 * at the internal Vault, decrypt with an unseal key, take a snapshot, start a process, or have a certificate for an
 * operator's login signed. What it writes to the trail and to the owners' records it can never change.
 *
 * Begin reading at `start.ts`, which puts it together, then at `orgs/create.ts`: onboarding as a list of steps
 * (`orgs/steps/`). `api/` has the routes, `jobs/` runs workflows so that a crash loses none, `reconcile/` compares
 * what is with what should be, `publish/` signs what gateways poll, `registry/` has the records, `runtime/` publishes
 * which Vaults should run.
 */
import { readConfig } from "../shared/config.ts";
import { run, serve } from "../shared/http/serve.ts";
import { Config } from "./config.ts";
import { startControlPlane } from "./start.ts";

await run(async () => {
  const config = readConfig(process.env, Config);
  await serve(await startControlPlane(config), config);
});

import { readSecretFile } from "../../shared/config.ts";
import { ssmParameterStore } from "../../shared/parameters/ssm.ts";
import { createProgress } from "../../shared/progress.ts";
import { whenAllNodesServe } from "../platform/nodes.ts";
import type { Session } from "../session.ts";
import { bringIntoForm } from "./bootstrap.ts";

export interface BootstrapAwsOptions {
  internalVault: string;
  prefix: string;
  parameterKey: string;
}

/**
 * `strongroom bootstrap-aws`: brings the internal Vault on AWS into its form, by the root token in
 * `internal-vault/root-token` of the state folder, once all its nodes serve. It audits to its output, which is collected there, and the
 * control plane's login goes to where its task takes it from: SecureStrings of the platform's own key.
 */
export async function bootstrapAws(
  session: Session,
  _: string[],
  { internalVault, prefix, parameterKey }: BootstrapAwsOptions,
): Promise<undefined> {
  await whenAllNodesServe(internalVault, { progress: createProgress(session.out.stderr) });
  await bringIntoForm(session, internalVault, "Name another folder: --state DIR", "stdout");
  const parameters = ssmParameterStore({ keyId: parameterKey });
  for (const name of ["role-id", "secret-id"]) {
    const file = session.state.at("control-plane", name);
    await parameters.put(`${prefix}/platform/control-plane/${name}`, readSecretFile(file, name));
  }
  return undefined;
}

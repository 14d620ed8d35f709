import { readSecretFile } from "../../shared/config.ts";
import { ssmParameterStore } from "../../shared/parameters/ssm.ts";
import type { CliCommand } from "../command.ts";
import { whenAllNodesServe } from "../platform/nodes.ts";
import { createProgress } from "../progress.ts";
import type { Session } from "../session.ts";
import { bootstrapOnce } from "./bootstrap.ts";

export const bootstrapAwsCommand: CliCommand = {
  declare(line) {
    line
      .requiredOption(
        "--internal-vault <url>",
        "the internal Vault's address; its root token is in the state folder",
      )
      .requiredOption("--prefix <path>", "prefix of all parameter names")
      .requiredOption("--parameter-key <id>", "KMS key of the platform's own parameters");
  },
  run: bootstrapAws,
};

export interface BootstrapAwsOptions {
  internalVault: string;
  prefix: string;
  parameterKey: string;
}

/**
 * `strongroom bootstrap-aws`: bootstraps the internal Vault on AWS once all its nodes serve, with the root token
 * in `internal-vault/root-token` of the state folder. The Vault audits to stdout, which CloudWatch Logs collects.
 * The control plane's login goes to SecureStrings under the platform's own key, from which its task reads it.
 */
async function bootstrapAws(
  session: Session,
  _: string[],
  { internalVault, prefix, parameterKey }: BootstrapAwsOptions,
): Promise<undefined> {
  await whenAllNodesServe(internalVault, { progress: createProgress(session.out.stderr) });
  await bootstrapOnce(session, internalVault, "Pass another state folder: --state DIR", "stdout");
  const parameters = ssmParameterStore({ keyId: parameterKey });
  for (const name of ["role-id", "secret-id"]) {
    const file = session.state.at("control-plane", name);
    await parameters.put(`${prefix}/platform/control-plane/${name}`, readSecretFile(file, name));
  }
  return undefined;
}

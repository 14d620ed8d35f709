import { readText, writeJson } from "../../shared/files.ts";
import { LOCAL_ISSUER } from "../../shared/local-provider.ts";
import { vaultClient } from "../../shared/vault/client.ts";
import { sealStatus } from "../../shared/vault/init.ts";
import type { CliCommand } from "../command.ts";
import { Failure } from "../failure.ts";
import { bootstrap } from "../platform/bootstrap.ts";
import { ensureRecoveryKey } from "../platform/recovery-key.ts";
import { writeSettingFiles } from "../platform/service-settings.ts";
import type { PlatformFile } from "../platform/state-folder.ts";
import type { Session } from "../session.ts";

export const bootstrapCommand: CliCommand = {
  declare(line) {
    line
      .requiredOption("--internal-vault <url>", "its address; its root token lies in the state folder")
      .requiredOption("--identity-provider <url>", "where the local identity provider is, for all the others")
      .requiredOption("--gateway <url>", "where the gateway will be")
      .requiredOption("--control-plane <url>", "where the control plane will be")
      .requiredOption("--vault-bin <path>", "the Vault program, for the command `vault`");
  },
  run: bootstrapPlatform,
};

const PERIOD_SECONDS = 768 * 3600;

export interface BootstrapOptions {
  internalVault: string;
  identityProvider: string;
  gateway: string;
  controlPlane: string;
  vaultBin: string;
}

/**
 * `strongroom bootstrap`: brings an internal Vault that something else runs into its form, by the root token in
 * `internal-vault/root-token` of the state folder, and writes down what the services are given of it, and where
 * they will be, for the other commands. Running it again changes nothing; a Vault other than the first one is
 * refused, since it cannot unseal what is here.
 */
async function bootstrapPlatform(
  session: Session,
  _: string[],
  { internalVault, identityProvider, gateway, controlPlane, vaultBin }: BootstrapOptions,
): Promise<undefined> {
  const { state } = session;
  await bootstrapOnce(
    session,
    internalVault,
    "Begin anew, without what is here: docker compose down --volumes",
  );
  await writeSettingFiles({ identityProvider }, state);
  const file: PlatformFile = {
    ...{ gateway, controlPlane, identityProvider, internalVault },
    issuer: LOCAL_ISSUER,
    state: state.path,
    vaultBinary: vaultBin,
  };
  await writeJson(state.platformFile, file);
  return undefined;
}

/**
 * Bootstraps an internal Vault that answers at an address, once. Failure `conflict`, with the hint, where it is
 * not the one that the state folder knows. `auditFile` is where it writes its audit log, as it sees it.
 */
export async function bootstrapOnce(
  { out, state }: Session,
  internalVault: string,
  hint: string,
  auditFile?: string,
): Promise<void> {
  const { clusterId } = await sealStatus(vaultClient({ address: internalVault }));
  if (!clusterId) {
    throw new Failure("unavailable", `The Vault at ${internalVault} is not initialized and unsealed`);
  }
  const known = (await readText(state.internalClusterId))?.trim();
  if (known !== undefined && known !== clusterId) {
    throw new Failure(
      "conflict",
      `The Vault at ${internalVault} is not the one that sealed what is here (cluster ${clusterId}, not ${known}). A Vault in dev mode forgets its keys when it stops`,
      hint,
    );
  }
  await ensureRecoveryKey(state);
  await bootstrap(state, internalVault, PERIOD_SECONDS, auditFile);
  out.note(`The internal Vault at ${internalVault} is in its form.`);
}

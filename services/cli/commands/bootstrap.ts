import { readText, writeJson } from "../../shared/files.ts";
import { LOCAL_ISSUER } from "../../shared/local-provider.ts";
import { vaultClient } from "../../shared/vault/client.ts";
import { sealStatus } from "../../shared/vault/init.ts";
import type { CliCommand } from "../command.ts";
import { Failure } from "../failure.ts";
import { bootstrap } from "../platform/bootstrap.ts";
import { brokerFiles, writeBrokerCertificates } from "../platform/broker-connection.ts";
import { ensureRecoveryKey } from "../platform/recovery-key.ts";
import { writeSettingFiles } from "../platform/service-settings.ts";
import type { PlatformFile } from "../platform/state-folder.ts";
import type { Session } from "../session.ts";

export const bootstrapCommand: CliCommand = {
  declare(line) {
    line
      .requiredOption(
        "--internal-vault <url>",
        "the internal Vault's address; its root token is in the state folder",
      )
      .requiredOption(
        "--identity-provider <url>",
        "the local identity provider's address, as the services reach it",
      )
      .option("--issuer <url>", "the same, as all services reach it that verify tokens, if that is another")
      .requiredOption("--gateway <url>", "the gateway's address, for the other commands")
      .requiredOption("--control-plane <url>", "the control plane's address, for the other commands")
      .requiredOption("--intake <url>", "the intake's address, for the other commands")
      .requiredOption("--vault-bin <path>", "the Vault program for `strongroom vault`");
  },
  run: bootstrapPlatform,
};

const PERIOD_SECONDS = 768 * 3600;

export interface BootstrapOptions {
  internalVault: string;
  identityProvider: string;
  issuer?: string;
  gateway: string;
  controlPlane: string;
  intake: string;
  vaultBin: string;
}

/**
 * `strongroom bootstrap`: bootstraps an internal Vault that something else runs, with the root token in
 * `internal-vault/root-token` of the state folder. Writes the services' credentials and settings, and the
 * services' addresses for the other commands. It is idempotent. It refuses a Vault other than the first one,
 * which could not unseal the organizations in this state folder.
 */
async function bootstrapPlatform(
  session: Session,
  _: string[],
  {
    internalVault,
    identityProvider,
    issuer = identityProvider,
    gateway,
    controlPlane,
    intake,
    vaultBin,
  }: BootstrapOptions,
): Promise<undefined> {
  const { state } = session;
  await bootstrapOnce(
    session,
    internalVault,
    "To start over and delete all data: docker compose down --volumes",
  );
  await writeSettingFiles({ identityProvider: issuer }, state);
  // A service that runs keeps those that it has read.
  if (!(await readText(brokerFiles(state).intake.broker))) await writeBrokerCertificates(state);
  const file: PlatformFile = {
    ...{ gateway, controlPlane, identityProvider, internalVault, intake },
    issuer: LOCAL_ISSUER,
    state: state.path,
    vaultBinary: vaultBin,
  };
  await writeJson(state.platformFile, file);
  return undefined;
}

/**
 * Bootstraps the internal Vault at an address, once. Failure `conflict`, with the hint, if it is not the one that
 * the state folder knows. `auditFile` is the path of its audit log, as that Vault sees it.
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
      `The Vault at ${internalVault} is not the one that this state folder belongs to (cluster ${clusterId}, not ${known}). A Vault in dev mode loses its keys when it stops`,
      hint,
    );
  }
  await ensureRecoveryKey(state);
  await bootstrap(state, internalVault, PERIOD_SECONDS, auditFile);
  out.note(`The internal Vault at ${internalVault} is bootstrapped.`);
}

import { writeJson } from "../../shared/files.ts";
import { OPERATOR_AUDIENCE } from "../../shared/identity/local-provider.ts";
import { localIssuer } from "./issuer.ts";
import type { ServiceSettings } from "./service.ts";
import type { Addresses, Settled, StateFolder } from "./state-folder.ts";

const UPKEEP_SECONDS = 15;

const listen = (address: string) => ({ STRONGROOM_LISTEN: address.replace("http://", "") });
const parameters = (state: StateFolder) => ({ STRONGROOM_PARAMETERS: `local:${state.at("parameters")}` });
const instances = (state: StateFolder) => ({ STRONGROOM_INSTANCES_DIR: state.instances });
const issuersFile = (state: StateFolder) => state.at("control-plane", "issuers.json");

/** Writes the files that the settings below name and that nothing else makes. */
export async function writeSettingFiles(
  { identityProvider }: Pick<Addresses, "identityProvider">,
  state: StateFolder,
): Promise<void> {
  await writeJson(issuersFile(state), [localIssuer(identityProvider)]);
}

export const identityProviderSettings = (
  { identityProvider }: Addresses,
  state: StateFolder,
): ServiceSettings => ({
  address: identityProvider,
  settings: {
    ...listen(identityProvider),
    STRONGROOM_SIGNING_KEY_FILE: state.at("identity-provider", "signing-key.json"),
  },
});

export const controlPlaneSettings = (
  { controlPlane, internalVault }: Addresses,
  state: StateFolder,
  { unsealTokenPeriodSeconds }: Settled,
): ServiceSettings => ({
  address: controlPlane,
  settings: {
    ...listen(controlPlane),
    ...parameters(state),
    ...instances(state),
    STRONGROOM_INTERNAL_VAULT_ADDR: internalVault,
    STRONGROOM_ROLE_ID_FILE: state.at("control-plane", "role-id"),
    STRONGROOM_SECRET_ID_FILE: state.at("control-plane", "secret-id"),
    STRONGROOM_CA_FILE: state.at("gateway", "ca.pem"),
    STRONGROOM_ISSUERS_FILE: issuersFile(state),
    STRONGROOM_OPERATOR_AUDIENCE: OPERATOR_AUDIENCE,
    STRONGROOM_RECOVERY_KEY_FILE: state.recoveryPublicKey,
    // Tokens are renewed at half of their life: look often enough to see that in time.
    STRONGROOM_UPKEEP_SECONDS: String(Math.min(UPKEEP_SECONDS, unsealTokenPeriodSeconds / 5)),
  },
});

/** It listens nowhere. */
export const agentSettings = (state: StateFolder, vaultBinary: string): ServiceSettings => ({
  settings: { ...parameters(state), ...instances(state), STRONGROOM_VAULT_BIN: vaultBinary },
});

export const gatewaySettings = (
  { gateway, controlPlane }: Addresses,
  state: StateFolder,
): ServiceSettings => ({
  address: gateway,
  settings: {
    ...listen(gateway),
    STRONGROOM_DIRECTORY_URL: `${controlPlane}/v1/directory`,
    STRONGROOM_DIRECTORY_KEY_FILE: state.at("gateway", "directory-key.pem"),
    STRONGROOM_OWNERSHIP_KEY_FILE: state.at("gateway", "ownership-key.pem"),
    STRONGROOM_DIRECTORY_COPY: state.at("gateway", "directory.jws"),
    STRONGROOM_REVOCATIONS_URL: `${controlPlane}/v1/revocations`,
    STRONGROOM_REVOCATIONS_COPY: state.at("gateway", "revocations.jws"),
    STRONGROOM_CA_FILE: state.at("gateway", "ca.pem"),
    // On one machine all callers have one address, and are one's own.
    STRONGROOM_ADDRESS_LIMIT: "0",
    STRONGROOM_ORG_LIMIT: "0",
  },
});

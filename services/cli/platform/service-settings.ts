import { writeJson } from "../../shared/files.ts";
import { OPERATOR_AUDIENCE } from "../../shared/identity/local-provider.ts";
import { localIssuer } from "./issuer.ts";
import type { ServiceSettings } from "./service.ts";
import type { PlatformFile, ServiceName, StateFolder } from "./state-folder.ts";

const UPKEEP_SECONDS = 15;

/** Writes the files that the settings below name and that nothing else makes. */
export async function writeSettingFiles(platform: PlatformFile, state: StateFolder): Promise<void> {
  await writeJson(issuersFile(state), [localIssuer(platform.identityProvider)]);
}

/** The settings of one service, by the addresses of all. Everything listens on loopback only. */
export function serviceSettings(
  name: ServiceName,
  platform: PlatformFile,
  state: StateFolder,
  unsealTokenPeriodSeconds: number,
): ServiceSettings {
  const listen = (address: string) => ({ STRONGROOM_LISTEN: address.replace("http://", "") });
  const parameters = { STRONGROOM_PARAMETERS: `local:${state.at("parameters")}` };
  const instances = { STRONGROOM_INSTANCES_DIR: state.instances };
  switch (name) {
    case "identity-provider":
      return {
        address: platform.identityProvider,
        settings: {
          ...listen(platform.identityProvider),
          STRONGROOM_SIGNING_KEY_FILE: state.at("identity-provider", "signing-key.json"),
        },
      };
    case "control-plane":
      return {
        address: platform.controlPlane,
        settings: {
          ...listen(platform.controlPlane),
          ...parameters,
          ...instances,
          STRONGROOM_INTERNAL_VAULT_ADDR: platform.internalVault,
          STRONGROOM_ROLE_ID_FILE: state.at("control-plane", "role-id"),
          STRONGROOM_SECRET_ID_FILE: state.at("control-plane", "secret-id"),
          STRONGROOM_CA_FILE: state.at("gateway", "ca.pem"),
          STRONGROOM_ISSUERS_FILE: issuersFile(state),
          STRONGROOM_OPERATOR_AUDIENCE: OPERATOR_AUDIENCE,
          STRONGROOM_RECOVERY_KEY_FILE: state.recoveryPublicKey,
          // Tokens are renewed at half of their life: look often enough to see that in time.
          STRONGROOM_UPKEEP_SECONDS: String(Math.min(UPKEEP_SECONDS, unsealTokenPeriodSeconds / 5)),
        },
      };
    case "agent":
      return { settings: { ...parameters, ...instances, STRONGROOM_VAULT_BIN: platform.vaultBinary } };
    case "gateway":
      return {
        address: platform.gateway,
        settings: {
          ...listen(platform.gateway),
          STRONGROOM_DIRECTORY_URL: `${platform.controlPlane}/v1/directory`,
          STRONGROOM_DIRECTORY_KEY_FILE: state.at("gateway", "directory-key.pem"),
          STRONGROOM_DIRECTORY_COPY: state.at("gateway", "directory.jws"),
          STRONGROOM_CA_FILE: state.at("gateway", "ca.pem"),
        },
      };
  }
}

const issuersFile = (state: StateFolder) => state.at("control-plane", "issuers.json");

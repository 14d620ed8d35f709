import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeJson } from "../../shared/files.ts";
import { OPERATOR_AUDIENCE } from "../../shared/local-provider.ts";
import type { Kind } from "../../shared/work/kinds.ts";
import { brokerClientSettings, brokerListenerSettings, brokerUrl } from "./broker-connection.ts";
import { brokerAnswers } from "./broker-health.ts";
import { privateDestinationsFile } from "./demo-provider.ts";
import { localIssuer } from "./issuer.ts";
import type { ServiceSettings } from "./service-process.ts";
import type { Addresses, FixedSettings, StateFolder } from "./state-folder.ts";
import { MEMORY_ENVIRONMENT, MEMORY_FLAGS, permissionFlags } from "./worker-flags.ts";

const UPKEEP_SECONDS = 15;

const listen = (address: string) => ({ STRONGROOM_LISTEN: new URL(address).host });
const parameters = (state: StateFolder) => ({ STRONGROOM_PARAMETERS: `local:${state.at("parameters")}` });
const instances = (state: StateFolder) => ({ STRONGROOM_INSTANCES_DIR: state.instances });
const issuersFile = (state: StateFolder) => state.at("control-plane", "issuers.json");

/** Writes the files that the settings below name and nothing else creates. */
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
  { unsealTokenPeriodSeconds }: FixedSettings,
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
    // Tokens are renewed at half of their TTL: reconcile often enough to be in time.
    STRONGROOM_RECONCILE_SECONDS: String(Math.min(UPKEEP_SECONDS, unsealTokenPeriodSeconds / 5)),
  },
});

/** The agent has no listener. */
export const agentSettings = (state: StateFolder, vaultBinary: string): ServiceSettings => ({
  settings: { ...parameters(state), ...instances(state), STRONGROOM_VAULT_BIN: vaultBinary },
});

/** What the services that verify callers share: the folder of the public keys, and the one of their copies. */
const published = (controlPlane: string, keys: string, copies: string) => ({
  STRONGROOM_DIRECTORY_URL: `${controlPlane}/v1/directory`,
  STRONGROOM_DIRECTORY_KEY_FILE: join(keys, "directory-key.pem"),
  STRONGROOM_OWNERSHIP_KEY_FILE: join(keys, "ownership-key.pem"),
  STRONGROOM_DIRECTORY_COPY: join(copies, "directory.jws"),
  STRONGROOM_REVOCATIONS_URL: `${controlPlane}/v1/revocations`,
  STRONGROOM_REVOCATIONS_COPY: join(copies, "revocations.jws"),
});

/** What the services that face callers share. */
const front = (controlPlane: string, state: StateFolder, service: "gateway" | "intake") => ({
  ...published(controlPlane, state.at("gateway"), state.at(service)),
  // On one machine all callers share one IP and are the user's own.
  STRONGROOM_ADDRESS_LIMIT: "0",
  STRONGROOM_ORG_LIMIT: "0",
});

export const gatewaySettings = (
  { gateway, controlPlane }: Addresses,
  state: StateFolder,
): ServiceSettings => ({
  address: gateway,
  // A gateway process uses one core: docs/decisions/gateway-speed.md.
  flags: ["--single-threaded-gc"],
  settings: {
    ...listen(gateway),
    ...front(controlPlane, state, "gateway"),
    STRONGROOM_CA_FILE: state.at("gateway", "ca.pem"),
  },
});

interface Ports {
  brokerPort: number;
  /** Undefined if the demo's provider does not run. */
  demoProviderPort: number | undefined;
}

/** The intake's login at the internal Vault may make data keys and open none. */
export const intakeSettings = (
  { intake, controlPlane, internalVault }: Addresses,
  state: StateFolder,
  { demoProviderPort, brokerPort }: Ports,
): ServiceSettings => ({
  address: intake,
  flags: ["--disable-sigusr1", ...MEMORY_FLAGS],
  environment: MEMORY_ENVIRONMENT,
  settings: {
    ...listen(intake),
    ...front(controlPlane, state, "intake"),
    ...keyLogin(internalVault, state, "intake"),
    STRONGROOM_STORE: `sqlite:${state.at("intake", "store.sqlite")}`,
    STRONGROOM_INTEGRATION_KEY: "transit:integration",
    STRONGROOM_WEBHOOK_KEY: "transit:webhook",
    STRONGROOM_BROKER_KEY: "transit:broker",
    STRONGROOM_RECEIPTS_KEY: "transit:receipts",
    STRONGROOM_INTEGRATION_QUEUES: queues(state, "integration"),
    STRONGROOM_WEBHOOK_QUEUES: queues(state, "webhook"),
    STRONGROOM_FEED_QUEUES: queues(state, "feed"),
    STRONGROOM_BROKER_QUEUES: queues(state, "broker"),
    ...brokerClientSettings(state, brokerPort),
    ...(demoProviderPort !== undefined && {
      STRONGROOM_DESTINATION_PORTS: ["443", "8443", demoProviderPort].join(),
    }),
  },
});

/**
 * A worker reads its code, its own folder and its queues, and writes its queues. Kind `feed` has no login; kind `broker`
 * listens, and keeps copies of published documents.
 */
export const workerSettings = (
  kind: Kind,
  { internalVault, controlPlane }: Addresses,
  state: StateFolder,
  { demoProviderPort, brokerPort }: Ports,
): ServiceSettings => {
  const own = state.at(`worker-${kind}`);
  const copies = join(own, "published");
  const grants = {
    code: CODE,
    queues: state.queues(kind),
    files: [own],
    ...(kind === "broker" && { copies }),
  };
  return {
    flags: [...permissionFlags(grants), ...MEMORY_FLAGS],
    environment: MEMORY_ENVIRONMENT,
    ...(kind === "broker" && { answers: () => brokerAnswers(state, brokerUrl(brokerPort)) }),
    ownFolder: own,
    endsItself: true,
    settings: {
      STRONGROOM_KIND: kind,
      STRONGROOM_QUEUES: queues(state, kind),
      ...(kind !== "feed" && {
        ...keyLogin(internalVault, state, `worker-${kind}`),
        STRONGROOM_KEY: `transit:${kind}`,
      }),
      ...(kind === "broker" && {
        ...brokerListenerSettings(state, brokerPort),
        ...published(controlPlane, own, copies),
      }),
      ...(demoProviderPort !== undefined && {
        STRONGROOM_PRIVATE_DESTINATIONS_FILE: privateDestinationsFile(state, kind),
      }),
    },
  };
};

export const demoProviderSettings = (state: StateFolder, port: number): ServiceSettings => ({
  settings: {
    STRONGROOM_LISTEN: `127.0.0.1:${port}`,
    STRONGROOM_TLS_CERTIFICATE_FILE: state.at("demo-provider", "certificate.pem"),
    STRONGROOM_TLS_KEY_FILE: state.at("demo-provider", "key.pem"),
  },
});

/** Not the checkout itself, which may hold the state folder. */
const CODE = ["services", "node_modules", "package.json"].map((name) =>
  fileURLToPath(new URL(`../../../${name}`, import.meta.url)),
);

const queues = (state: StateFolder, kind: Kind) => `local:${state.queues(kind)}`;
const keyLogin = (internalVault: string, state: StateFolder, folder: string) => ({
  STRONGROOM_INTERNAL_VAULT_ADDR: internalVault,
  STRONGROOM_ROLE_ID_FILE: state.at(folder, "role-id"),
  STRONGROOM_SECRET_ID_FILE: state.at(folder, "secret-id"),
});

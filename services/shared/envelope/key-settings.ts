import { type Static, Type } from "typebox";
import { ConfigError, readSecretFile, SecretFile } from "../config.ts";
import { appRoleLogin } from "../vault/approle.ts";
import { type VaultClient, vaultClient } from "../vault/client.ts";
import { internalVaultEndpoint } from "../vault/internal-vault-settings.ts";
import type { KeyProvider } from "./key-provider.ts";
import type { Signer } from "./signer.ts";
import { transitKeyProvider } from "./transit.ts";
import { transitSigner } from "./transit-signer.ts";

/** One key's setting, such as `STRONGROOM_INTEGRATION_KEY`. */
export const KeySetting = (description: string) =>
  Type.String({
    pattern: "^(transit:[a-z][a-z0-9-]{0,62}|kms:arn:[a-z0-9-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)$",
    description: `${description}: transit:NAME (the internal Vault) or kms:KEY-ARN`,
  });

/** The settings of a service's key providers beside its keys, part of its own schema. */
export const keyProviderSettings = {
  STRONGROOM_INTERNAL_VAULT_ADDR: Type.Optional(
    Type.String({
      pattern: "^https?://[^/]+$",
      description:
        "The internal Vault, http://host:port or https://host:port; required with a key transit:NAME",
    }),
  ),
  STRONGROOM_INTERNAL_VAULT_CA_FILE: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        "PEM of the CA of the internal Vault's certificate; required if its address is https (path of a file)",
    }),
  ),
  STRONGROOM_ROLE_ID_FILE: Type.Optional(
    SecretFile("AppRole role ID at the internal Vault; required with a key transit:NAME"),
  ),
  STRONGROOM_SECRET_ID_FILE: Type.Optional(
    SecretFile("AppRole secret ID at the internal Vault; required with a key transit:NAME"),
  ),
  STRONGROOM_AWS_REGION: Type.Optional(
    Type.String({ minLength: 1, description: "AWS Region (default: the SDK's)" }),
  ),
};

/** Of one call to the internal Vault. */
const TIMEOUT_MS = 5_000;

const Settings = Type.Object(keyProviderSettings);

/**
 * The internal Vault under the service's own login, for keys `transit:NAME`. The function connects nothing yet; it
 * throws ConfigError if a setting that such a key requires is missing.
 */
export function internalVaultLogin(settings: Static<typeof Settings>): () => VaultClient {
  let client: VaultClient | undefined;
  return () => {
    client ??= internalVaultClient(settings);
    return client;
  };
}

/**
 * Returns a function that makes the provider of one key; all of its providers share one login at the internal Vault. It
 * throws ConfigError if a setting that the key requires is missing. Nothing connects yet.
 */
export function keyProviders(
  settings: Static<typeof Settings>,
  vault = internalVaultLogin(settings),
): (key: string) => Promise<KeyProvider> {
  return async (key) => {
    const { kind, name } = parse(key);
    if (kind === "transit") return transitKeyProvider(vault(), name);
    // Loaded only here: a service whose keys are in the internal Vault needs no AWS SDK.
    const { kmsKeyProvider } = await import("./kms.ts");
    return kmsKeyProvider(name, awsOptions(settings));
  };
}

/** As {@link keyProviders}, for keys that sign. */
export function signers(
  settings: Static<typeof Settings>,
  vault = internalVaultLogin(settings),
): (key: string) => Promise<Signer> {
  return async (key) => {
    const { kind, name } = parse(key);
    if (kind === "transit") return transitSigner(vault(), name);
    const { kmsSigner } = await import("./kms-signer.ts");
    return kmsSigner(name, awsOptions(settings));
  };
}

const awsOptions = ({ STRONGROOM_AWS_REGION: region }: Static<typeof Settings>) => (region ? { region } : {});

function parse(key: string): { kind: "transit" | "kms"; name: string } {
  const [kind, name] = key.split(/:(.*)/s);
  if ((kind === "transit" || kind === "kms") && name) return { kind, name };
  throw new ConfigError("a key is transit:NAME or kms:KEY-ARN");
}

function internalVaultClient({
  STRONGROOM_INTERNAL_VAULT_ADDR: address,
  STRONGROOM_INTERNAL_VAULT_CA_FILE: caFile,
  STRONGROOM_ROLE_ID_FILE: roleIdFile,
  STRONGROOM_SECRET_ID_FILE: secretIdFile,
}: Static<typeof Settings>): VaultClient {
  const endpoint = internalVaultEndpoint({
    STRONGROOM_INTERNAL_VAULT_ADDR: required("STRONGROOM_INTERNAL_VAULT_ADDR", address),
    ...(caFile !== undefined && { STRONGROOM_INTERNAL_VAULT_CA_FILE: caFile }),
  });
  const login = appRoleLogin(endpoint, {
    roleId: readRequired("STRONGROOM_ROLE_ID_FILE", roleIdFile),
    secretId: readRequired("STRONGROOM_SECRET_ID_FILE", secretIdFile),
  });
  return vaultClient(endpoint, login.token, TIMEOUT_MS);
}

function required(setting: string, value: string | undefined): string {
  if (value === undefined) throw new ConfigError(`${setting}: missing; a key transit:NAME requires it`);
  return value;
}

const readRequired = (setting: string, path: string | undefined) =>
  readSecretFile(required(setting, path), setting);

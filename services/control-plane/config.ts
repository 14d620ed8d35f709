import { readFileSync } from "node:fs";
import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { type Cell, parseCell } from "../shared/aws/cell.ts";
import { ConfigError, SecretFile } from "../shared/config.ts";
import { maxTokenLifetime } from "../shared/front/published/revocations.ts";
import { LISTEN_SETTINGS } from "../shared/http/serve.ts";
import { Issuer } from "../shared/org.ts";
import { parameterSettings } from "../shared/parameters/parameter-settings.ts";
import type { VaultEndpoint } from "../shared/vault/client.ts";

const File = (description: string) =>
  Type.String({ minLength: 1, description: `${description} (path of a file)` });

/** The control plane's settings, by the names of their variables. */
export const Config = Type.Object({
  ...LISTEN_SETTINGS,
  STRONGROOM_INTERNAL_VAULT_ADDR: Type.String({
    pattern: "^https?://[^/]+$",
    description: "The internal Vault, as the control plane and the organizations' Vaults reach it",
  }),
  STRONGROOM_INTERNAL_VAULT_CA_FILE: Type.Optional(
    File("PEM of the authority behind the internal Vault's certificate; needed where its address is https"),
  ),
  STRONGROOM_ROLE_ID_FILE: SecretFile("AppRole role id at the internal Vault"),
  STRONGROOM_SECRET_ID_FILE: SecretFile("AppRole secret id at the internal Vault"),
  STRONGROOM_CA_FILE: File("PEM of the authority behind the organizations' certificates"),
  ...parameterSettings,
  STRONGROOM_PARAMETER_PREFIX: Type.String({
    pattern: "^(/[A-Za-z0-9_.-]+)+$",
    default: "/strongroom",
    description: "What the names of all parameters begin with",
  }),
  STRONGROOM_RUNTIME: Type.Enum(["process", "ecs"], {
    default: "process",
    description: "What runs the organizations' Vaults: process (the agent of this machine) or ecs (AWS)",
  }),
  STRONGROOM_INSTANCES_DIR: Type.Optional(
    Type.String({
      minLength: 1,
      description: "Absolute path of the folder shared with the agent; needed with process",
    }),
  ),
  STRONGROOM_CELL_FILE: Type.Optional(
    File("The cell on AWS, as JSON; needed with ecs, unless STRONGROOM_CELL is"),
  ),
  STRONGROOM_CELL: Type.Optional(
    Type.String({ minLength: 1, description: "The cell itself, where there is no file to put it in" }),
  ),
  STRONGROOM_ISSUERS_FILE: File(
    "The issuers of organizations' tokens, as a JSON list; the first is the default",
  ),
  STRONGROOM_OPERATOR_AUDIENCE: Type.String({
    minLength: 1,
    description: "`aud` of operators' tokens; their issuer is the first of the list",
  }),
  STRONGROOM_MAX_TOKEN_LIFETIME_SECONDS: maxTokenLifetime,
  STRONGROOM_RECOVERY_KEY_FILE: File("PGP public key that recovery keys are encrypted to by default"),
  STRONGROOM_CERTIFICATE_SECONDS: Type.Integer({
    minimum: 60,
    maximum: 30 * 24 * 3600,
    default: 30 * 24 * 3600,
    description: "Lifetime of the organizations' server certificates; renewed after two thirds",
  }),
  STRONGROOM_RECONCILE_SECONDS: Type.Number({
    minimum: 0.2,
    maximum: 3600,
    default: 15,
    description: "Time between two looks at every organization",
  }),
  STRONGROOM_DRIFT_SECONDS: Type.Number({
    minimum: 0.2,
    maximum: 24 * 3600,
    default: 300,
    description: "Time between two comparisons of an organization's Vault with what it should be",
  }),
});
export type Config = Static<typeof Config>;

/** Reads the file of a `*_FILE` setting that holds no secret. */
export function readSettingFile(path: string, setting: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigError(`${setting}: cannot read ${path} (${(error as NodeJS.ErrnoException).code})`);
  }
}

/** Where the internal Vault is, and how it is known. Throws ConfigError where one is said without the other. */
export function internalVaultEndpoint(config: Config): VaultEndpoint {
  const { STRONGROOM_INTERNAL_VAULT_ADDR: address, STRONGROOM_INTERNAL_VAULT_CA_FILE: path } = config;
  const setting = "STRONGROOM_INTERNAL_VAULT_CA_FILE";
  if (address.startsWith("https:") !== (path !== undefined)) {
    throw new ConfigError(`${setting}: it is needed with an address that is https, and only then`);
  }
  return { address, ...(path !== undefined && { ca: readSettingFile(path, setting) }) };
}

/** What runs the organizations' Vaults, and where. */
export type RuntimeSettings = { kind: "process"; instances: string } | { kind: "ecs"; cell: Cell };

/** What the settings say of the runtime. Throws ConfigError where they contradict each other. */
export function runtimeSettings(config: Config): RuntimeSettings {
  const { STRONGROOM_CELL: text, STRONGROOM_CELL_FILE: path, STRONGROOM_INSTANCES_DIR: instances } = config;
  if (config.STRONGROOM_RUNTIME === "process") {
    if (!instances) throw new ConfigError("STRONGROOM_INSTANCES_DIR: missing. It is needed with process");
    return { kind: "process", instances };
  }
  if (config.STRONGROOM_PARAMETERS !== "ssm") {
    throw new ConfigError(
      "STRONGROOM_PARAMETERS: it must be ssm with ecs, where tasks read their parameters",
    );
  }
  if (text !== undefined && path === undefined) {
    return { kind: "ecs", cell: parseCell(text, "STRONGROOM_CELL") };
  }
  if (path === undefined || text !== undefined) {
    throw new ConfigError("STRONGROOM_CELL_FILE or STRONGROOM_CELL: exactly one is needed with ecs");
  }
  const setting = "STRONGROOM_CELL_FILE";
  return { kind: "ecs", cell: parseCell(readSettingFile(path, setting), setting) };
}

const Issuers = Type.Array(Issuer, { minItems: 1, maxItems: 100 });

/** The configured issuers. Throws ConfigError where the file is not a list of them. */
export function readIssuers(path: string): [Issuer, ...Issuer[]] {
  const setting = "STRONGROOM_ISSUERS_FILE";
  let value: unknown;
  try {
    value = JSON.parse(readSettingFile(path, setting));
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(`${setting}: ${path} is not valid JSON`);
  }
  const [problem] = Value.Errors(Issuers, value);
  if (problem) throw new ConfigError(`${setting}: ${path}: ${problem.instancePath} ${problem.message}`);
  const issuers = value as [Issuer, ...Issuer[]];
  if (new Set(issuers.map(({ issuer }) => issuer)).size < issuers.length) {
    throw new ConfigError(`${setting}: ${path}: an issuer is listed twice`);
  }
  return issuers;
}

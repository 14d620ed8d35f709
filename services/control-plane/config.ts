import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { type Cell, parseCell } from "../shared/aws/cell.ts";
import { ConfigError, readSettingFile, SecretFile } from "../shared/config.ts";
import { maxTokenLifetime } from "../shared/front/published/revocations.ts";
import { LISTEN_SETTINGS } from "../shared/http/serve.ts";
import { Issuer } from "../shared/org.ts";
import { parameterSettings } from "../shared/parameters/parameter-settings.ts";

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
    File("PEM of the CA of the internal Vault's certificate; required if its address is https"),
  ),
  STRONGROOM_ROLE_ID_FILE: SecretFile("AppRole role ID at the internal Vault"),
  STRONGROOM_SECRET_ID_FILE: SecretFile("AppRole secret ID at the internal Vault"),
  STRONGROOM_CA_FILE: File("PEM of the CA of the organizations' certificates"),
  ...parameterSettings,
  STRONGROOM_PARAMETER_PREFIX: Type.String({
    pattern: "^(/[A-Za-z0-9_.-]+)+$",
    default: "/strongroom",
    description: "Prefix of all parameter names",
  }),
  STRONGROOM_RUNTIME: Type.Enum(["process", "ecs"], {
    default: "process",
    description: "Runtime of the organizations' Vaults: process (this machine's agent) or ecs (AWS)",
  }),
  STRONGROOM_INSTANCES_DIR: Type.Optional(
    Type.String({
      minLength: 1,
      description: "Absolute path of the folder shared with the agent; required with process",
    }),
  ),
  STRONGROOM_CELL_FILE: Type.Optional(
    File("The cell on AWS, as JSON; required with ecs, unless STRONGROOM_CELL is set"),
  ),
  STRONGROOM_CELL: Type.Optional(
    Type.String({ minLength: 1, description: "The cell itself as JSON, instead of STRONGROOM_CELL_FILE" }),
  ),
  STRONGROOM_ISSUERS_FILE: File(
    "The issuers of organizations' tokens, as a JSON list; the first is the default",
  ),
  STRONGROOM_OPERATOR_AUDIENCE: Type.String({
    minLength: 1,
    description: "`aud` of operators' tokens; their issuer is the first one in STRONGROOM_ISSUERS_FILE",
  }),
  STRONGROOM_MAX_TOKEN_LIFETIME_SECONDS: maxTokenLifetime,
  STRONGROOM_RECOVERY_KEY_FILE: File("PGP public key that recovery keys are encrypted to by default"),
  STRONGROOM_CERTIFICATE_SECONDS: Type.Integer({
    minimum: 60,
    maximum: 30 * 24 * 3600,
    default: 30 * 24 * 3600,
    description: "Lifetime of the organizations' server certificates, in seconds; renewed after two thirds",
  }),
  STRONGROOM_RECONCILE_SECONDS: Type.Number({
    minimum: 0.2,
    maximum: 3600,
    default: 15,
    description: "Seconds between two reconciles of every organization",
  }),
  STRONGROOM_DRIFT_SECONDS: Type.Number({
    minimum: 0.2,
    maximum: 24 * 3600,
    default: 300,
    description: "Seconds between two drift checks of an organization's Vault",
  }),
});
export type Config = Static<typeof Config>;

/** The runtime of the organizations' Vaults, with its place. */
export type RuntimeSettings = { kind: "process"; instances: string } | { kind: "ecs"; cell: Cell };

/** The settings of the runtime. Throws ConfigError if they contradict each other. */
export function runtimeSettings(config: Config): RuntimeSettings {
  const { STRONGROOM_CELL: text, STRONGROOM_CELL_FILE: path, STRONGROOM_INSTANCES_DIR: instances } = config;
  if (config.STRONGROOM_RUNTIME === "process") {
    if (!instances)
      throw new ConfigError("STRONGROOM_INSTANCES_DIR: missing; STRONGROOM_RUNTIME=process requires it");
    return { kind: "process", instances };
  }
  if (config.STRONGROOM_PARAMETERS !== "ssm") {
    throw new ConfigError(
      "STRONGROOM_PARAMETERS: must be ssm with STRONGROOM_RUNTIME=ecs, whose tasks read parameters from SSM",
    );
  }
  if (text !== undefined && path === undefined) {
    return { kind: "ecs", cell: parseCell(text, "STRONGROOM_CELL") };
  }
  if (path === undefined || text !== undefined) {
    throw new ConfigError(
      "STRONGROOM_CELL_FILE or STRONGROOM_CELL: STRONGROOM_RUNTIME=ecs requires exactly one",
    );
  }
  const setting = "STRONGROOM_CELL_FILE";
  return { kind: "ecs", cell: parseCell(readSettingFile(path, setting), setting) };
}

const Issuers = Type.Array(Issuer, { minItems: 1, maxItems: 100 });

/** The configured issuers. Throws ConfigError if the file is not a list of issuers. */
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

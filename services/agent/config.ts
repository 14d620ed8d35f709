import { type Static, Type } from "typebox";
import { ConfigError } from "../shared/config.ts";
import { parameterSettings } from "../shared/parameters/settings.ts";

const MEBIBYTE = 1024 * 1024;

export const Config = Type.Object({
  ...parameterSettings,
  STRONGROOM_SPECS: Type.Enum(["folder", "ecs"], {
    default: "folder",
    description: "What says what should run: folder (the control plane's specs) or ecs (an emulator of AWS)",
  }),
  STRONGROOM_ECS_CLUSTER: Type.Optional(
    Type.String({ pattern: "^[A-Za-z0-9_-]{1,255}$", description: "The cluster to run; needed with ecs" }),
  ),
  STRONGROOM_ECS_REGION: Type.Optional(
    Type.String({ minLength: 1, description: "Its Region; needed with ecs" }),
  ),
  STRONGROOM_ECS_EMULATOR: Type.Optional(
    Type.String({
      pattern: "^https?://",
      description: "The emulator that knows services and starts nothing; needed with ecs",
    }),
  ),
  STRONGROOM_ECS_LISTEN: Type.Optional(
    Type.String({
      pattern: "^[0-9.]+:[0-9]{1,5}$",
      description: "host:port of the ECS API that knows tasks too, for AWS_ENDPOINT_URL_ECS; needed with ecs",
    }),
  ),
  STRONGROOM_INSTANCES_DIR: Type.String({
    minLength: 1,
    description: "The folder shared with the control plane: specs, status, the instances' own folders",
  }),
  STRONGROOM_VAULT_BIN: Type.String({ pattern: "^/", description: "Absolute path of the Vault binary" }),
  STRONGROOM_AUDIT_MAX_BYTES: Type.Integer({
    minimum: 1024,
    default: 100 * MEBIBYTE,
    description: "Size at which an audit file is rotated",
  }),
  STRONGROOM_AUDIT_KEEP: Type.Integer({
    minimum: 1,
    maximum: 1000,
    default: 10,
    description: "How many rotated audit files are kept of each; older ones are deleted",
  }),
  STRONGROOM_LOW_DISK_BYTES: Type.Integer({
    minimum: 0,
    default: 1024 * MEBIBYTE,
    description: "Free space on the instances' volume below which status and log warn",
  }),
  STRONGROOM_LOG_LEVEL: Type.Enum(["fatal", "error", "warn", "info", "debug", "trace"], { default: "info" }),
});
export type Config = Static<typeof Config>;

/** A cluster of an emulator that the agent is to run. */
export interface EcsSettings {
  cluster: string;
  region: string;
  emulator: string;
  listen: { host: string; port: number };
}

/** What the settings say of ECS; undefined where specs come from the folder. ConfigError where one is missing. */
export function ecsSettings(config: Config): EcsSettings | undefined {
  if (config.STRONGROOM_SPECS === "folder") return undefined;
  const needed = (name: (typeof ECS_SETTINGS)[number]): string => {
    const value = config[name];
    if (value === undefined) throw new ConfigError(`${name}: missing. It is needed with ecs`);
    return value;
  };
  const [cluster, region, emulator, listen] = ECS_SETTINGS.map(needed) as [string, string, string, string];
  const [host = "", port] = listen.split(":");
  return { cluster, region, emulator, listen: { host, port: Number(port) } };
}

const ECS_SETTINGS = [
  "STRONGROOM_ECS_CLUSTER",
  "STRONGROOM_ECS_REGION",
  "STRONGROOM_ECS_EMULATOR",
  "STRONGROOM_ECS_LISTEN",
] as const;

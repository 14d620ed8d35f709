import { type Static, Type } from "typebox";
import { parameterSettings } from "../shared/parameters/parameter-settings.ts";

const MEBIBYTE = 1024 * 1024;

export const Config = Type.Object({
  ...parameterSettings,
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
